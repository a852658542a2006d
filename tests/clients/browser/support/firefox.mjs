// Headless Firefox, driven over WebDriver BiDi, which it speaks itself: no driver is needed. Its pages answer to the few
// methods of a page that `Tab` uses.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import WebSocket from 'ws';

import { delay, until } from './wait.mjs';

const LAUNCHED_WITHIN_MS = 60_000;
const ANSWERED_WITHIN_MS = 30_000;

const PREFERENCES = {
  // Nobody is there to allow anything.
  'media.navigator.permission.disabled': true,
  'media.navigator.streams.fake': true,
  'media.autoplay.default': 0,
  'media.autoplay.blocking_policy': 0,
  'media.peerconnection.ice.obfuscate_host_addresses': false,
  // Tests hold many windows at once, none of which is in front.
  'dom.min_background_timeout_value': 4,
  'dom.timeout.enable_budget_timer_throttling': false,
  'media.suspend-background-video.enabled': false,
  'widget.windows.window_occlusion_tracking.enabled': false,
  // Nothing is fetched from elsewhere.
  'media.gmp-manager.url': '',
  'media.gmp-provider.enabled': false,
  'app.update.enabled': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'browser.safebrowsing.update.enabled': false,
  'services.settings.server': 'data:,',
  'extensions.getAddons.cache.enabled': false,
  'datareporting.policy.dataSubmissionEnabled': false,
  'browser.shell.checkDefaultBrowser': false,
  'browser.startup.page': 0,
};

/** Where Firefox can find media: it gathers no loopback candidates, and reaches loopback from no others. */
export function reachableAddress() {
  const addresses = Object.values(os.networkInterfaces()).flat();
  const found = addresses.find(({ family, internal }) => family === 'IPv4' && !internal);
  if (!found) {
    throw new Error('Firefox needs an interface with an IPv4 address that is not the loopback one');
  }
  return found.address;
}

/** For `Stage.open`: the browser and the context in which it opens pages. */
export async function launchFirefox() {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'campanile-firefox-'));
  const browser = new Firefox(root);
  try {
    browser.speaker = await Speaker.open(root);
    await browser.launch();
  } catch (error) {
    await browser.close();
    throw error;
  }
  return { browser, context: browser };
}

/** Without a sound card no AudioContext of Firefox ever runs: this is one that nobody hears. */
class Speaker {
  static async open(root) {
    const speaker = new Speaker();
    speaker.socket = path.join(root, 'pulse');
    const flags = ['-n', '--daemonize=no', '--use-pid-file=no', '--exit-idle-time=-1', '--disable-shm=yes', '--log-level=error'];
    const modules = ['module-null-sink', `module-native-protocol-unix auth-anonymous=1 socket=${speaker.socket}`];
    speaker.process = spawn('pulseaudio', [...flags, ...modules.map(module => `--load=${module}`)], {
      stdio: 'ignore',
      env: { ...process.env, HOME: root, PULSE_RUNTIME_PATH: path.join(root, 'pulse-runtime') },
    });
    speaker.process.on('error', error => (speaker.fault = error));
    await until('pulseaudio listens', () => {
      if (speaker.fault || speaker.process.exitCode !== null) {
        throw new Error(`pulseaudio ended (exit ${speaker.process.exitCode}) ${speaker.fault ?? ''}`);
      }
      return fs.existsSync(speaker.socket);
    });
    return speaker;
  }

  close() {
    this.process.kill();
  }
}

class Firefox {
  constructor(root) {
    this.root = root;
    this.waiting = new Map();
    this.pages = new Map();
    this.number = 0;
  }

  async launch() {
    const profile = path.join(this.root, 'profile');
    fs.mkdirSync(profile);
    const lines = Object.entries(PREFERENCES).map(([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});`);
    fs.writeFileSync(path.join(profile, 'user.js'), lines.join('\n'));
    const binary = process.env.FIREFOX ?? '/usr/bin/firefox-esr';
    this.process = spawn(binary, ['--headless', '--no-remote', '--remote-debugging-port=0', '--profile', profile], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, HOME: this.root, PULSE_SERVER: `unix:${this.speaker.socket}`, MOZ_CRASHREPORTER_DISABLE: '1' },
    });
    this.ended = once(this.process, 'exit');
    this.process.on('error', error => (this.fault = error));
    const said = [];
    let address;
    createInterface(this.process.stderr).on('line', line => {
      said.push(line);
      address ??= /WebDriver BiDi listening on (ws:\S+)/.exec(line)?.[1];
    });
    await until('Firefox listens', () => {
      if (this.fault || this.process.exitCode !== null) {
        throw new Error(`${binary} ended (exit ${this.process.exitCode}) ${this.fault ?? ''}\n${said.join('\n')}`);
      }
      return address;
    }, { within: LAUNCHED_WITHIN_MS, explain: () => said.join('\n') });
    this.socket = new WebSocket(`${address}/session`, { perMessageDeflate: false });
    this.socket.on('message', data => this.receive(JSON.parse(data)));
    await once(this.socket, 'open');
    await this.command('session.new', { capabilities: {} });
    await this.command('session.subscribe', { events: ['log.entryAdded'] });
  }

  receive({ id, type, method, params, result, error, message }) {
    if (type === 'event') {
      if (method === 'log.entryAdded' && params.type === 'javascript') {
        this.pages.get(params.source.context)?.fault(params);
      }
      return;
    }
    const waiting = this.waiting.get(id);
    this.waiting.delete(id);
    if (type === 'success') {
      waiting?.resolve(result);
    } else {
      waiting?.reject(new Error(`${waiting.method}: ${error}: ${message}`));
    }
  }

  command(method, params) {
    this.number += 1;
    const id = this.number;
    const answered = new Promise((resolve, reject) => this.waiting.set(id, { method, resolve, reject }));
    this.socket.send(JSON.stringify({ id, method, params }));
    const silent = delay(ANSWERED_WITHIN_MS, undefined, { ref: false }).then(() => {
      throw new Error(`${method} was not answered within ${ANSWERED_WITHIN_MS} ms`);
    });
    return Promise.race([answered, silent]);
  }

  async newPage() {
    // A window of its own: a tab behind another one draws no canvas.
    const { context } = await this.command('browsingContext.create', { type: 'window' });
    const page = new Page(this, context);
    this.pages.set(context, page);
    return page;
  }

  async close() {
    if (this.socket?.readyState === WebSocket.OPEN) {
      await this.command('browser.close', {}).catch(() => {});
    }
    if (this.process && !(await Promise.race([this.ended, delay(5000, undefined, { ref: false })]))) {
      this.process.kill('SIGKILL');
    }
    this.socket?.terminate();
    this.speaker?.close();
    fs.rmSync(this.root, { recursive: true, force: true, maxRetries: 5 });
  }
}

class Page {
  constructor(browser, context) {
    this.browser = browser;
    this.context = context;
    this.closed = false;
    this.listeners = [];
  }

  /** The one event that there is is 'pageerror'. */
  on(_, listener) {
    this.listeners.push(listener);
  }

  fault({ level, text, stackTrace }) {
    if (level === 'error') {
      const at = stackTrace?.callFrames?.[0];
      this.listeners.forEach(listener => listener(`${text} ${at ? `${at.url}:${at.lineNumber}` : ''}`));
    }
  }

  async goto(url) {
    await this.browser.command('browsingContext.navigate', { context: this.context, url, wait: 'complete' });
  }

  waitForFunction(expression) {
    return until(`${expression} in the page`, () => this.evaluate(`() => ${expression}`));
  }

  waitForTimeout(ms) {
    return delay(ms);
  }

  /** Calls a function in the page; what goes in and what comes out is JSON. */
  async evaluate(callback, parameter) {
    const { type, result, exceptionDetails } = await this.browser.command('script.callFunction', {
      functionDeclaration: `async parameter => JSON.stringify(await (${callback})(JSON.parse(parameter)))`,
      arguments: [{ type: 'string', value: JSON.stringify(parameter ?? null) }],
      target: { context: this.context },
      awaitPromise: true,
    });
    if (type === 'exception') {
      throw new Error(`in the page: ${exceptionDetails.text}`);
    }
    return result.type === 'string' ? JSON.parse(result.value) : undefined;
  }

  isClosed() {
    return this.closed;
  }

  async close() {
    this.closed = true;
    await this.browser.command('browsingContext.close', { context: this.context });
  }
}
