// A browser (headless Chromium unless told otherwise), the page that holds one attendee, and what tests ask of it.
import { build } from 'esbuild';
import http from 'node:http';
import path from 'node:path';
import { chromium } from 'playwright-core';

import { until } from './wait.mjs';

/**
 * The SDK sets encodings on a sender that has none at that moment, after a camera was refused and is started again at once.
 * Chromium refuses, and the SDK's next update sets them.
 */
const OWN_RACE = /^InvalidModificationError: .*'setParameters'[^]*_DefaultTransceiverController\.setEncodingParameters/;

const here = path.resolve(import.meta.dirname, '..');
const modules = path.resolve(here, '../node_modules');

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--use-fake-ui-for-media-stream',
  '--use-fake-device-for-media-stream',
  '--autoplay-policy=no-user-gesture-required',
  // Machines and containers whose only interface is the loopback one gather no candidates otherwise.
  '--allow-loopback-in-peer-connection',
];

// Tones that are no harmonics, sums or differences of each other: what one attendee hears can only come from where it
// should. The colours are told apart after a lossy codec.
export const VOICES = [440, 710, 1230];
export const COLOURS = { red: [200, 30, 30], green: [30, 180, 30], blue: [30, 30, 200], yellow: [220, 220, 30] };
const CAMERAS = ['red', 'green', 'blue'];

const css = colour => `rgb(${COLOURS[colour].join(',')})`;

export function nameOfColour(rgb) {
  if (!rgb) {
    return null;
  }
  const distance = colour => COLOURS[colour].reduce((sum, value, at) => sum + (value - rgb[at]) ** 2, 0);
  return Object.keys(COLOURS).reduce((best, colour) => (distance(colour) < distance(best) ? colour : best));
}

/** `numbers`: 64-bit members are JS numbers, as in bundles with a protobufjs before 7.6. */
async function bundle({ numbers }) {
  const made = await build({
    entryPoints: [path.join(here, 'page/attendee.js')],
    bundle: true,
    write: false,
    format: 'iife',
    define: { global: 'window' },
    // The SDK requires this package, whose main file needs Node; its other build does not.
    alias: {
      '@aws-sdk/client-chime-sdk-messaging': path.join(modules, '@aws-sdk/client-chime-sdk-messaging/dist-es/index.js'),
      ...(numbers ? { long: path.join(here, 'page/no-long.js') } : {}),
    },
    logLevel: 'error',
  });
  return made.outputFiles[0].contents;
}

async function launchChromium(flags) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    args: [...FLAGS, ...flags],
  });
  return { browser, context: await browser.newContext() };
}

export class Stage {
  /** One browser and the small web server of "the application", on a port of its own like any application's. */
  static async open({ flags = [], launch = launchChromium, numbers = false } = {}) {
    const stage = new Stage();
    const script = await bundle({ numbers });
    stage.server = http.createServer((request, response) => {
      if (request.url === '/attendee.js') {
        response.writeHead(200, { 'content-type': 'text/javascript' }).end(script);
      } else {
        response
          .writeHead(200, { 'content-type': 'text/html' })
          .end('<!doctype html><title>attendee</title><body><script src="/attendee.js"></script>');
      }
    });
    await new Promise(resolve => stage.server.listen(0, '127.0.0.1', resolve));
    stage.url = `http://localhost:${stage.server.address().port}/`;
    Object.assign(stage, await launch(flags));
    return stage;
  }

  async close() {
    await this.browser.close();
    this.server.closeAllConnections();
    await new Promise(resolve => this.server.close(resolve));
  }

  /** A tab with an attendee that is prepared and has not started. `seat` 0, 1 or 2 gives it its tone and colour. */
  async attendee(meeting, attendee, seat, options = {}) {
    const page = await this.context.newPage();
    const faults = [];
    page.on('pageerror', error => {
      const fault = `${error.stack ?? error}`.slice(0, 600);
      if (!OWN_RACE.test(fault)) {
        faults.push(fault);
      }
    });
    await page.goto(this.url);
    await page.waitForFunction('window.ready === true');
    const tab = new Tab(page, attendee, seat, faults);
    await page.evaluate(options => window.prepare(options), {
      meeting,
      attendee,
      hertz: tab.hertz,
      colour: css(tab.colour),
      ...options,
    });
    return tab;
  }
}

export class Tab {
  constructor(page, attendee, seat, faults) {
    this.page = page;
    this.id = attendee.AttendeeId;
    this.name = attendee.ExternalUserId;
    this.hertz = VOICES[seat];
    this.colour = CAMERAS[seat];
    this.faults = faults;
  }

  /** Calls a method of the page's attendee. */
  ask(method, ...parameters) {
    return this.page.evaluate(([method, parameters]) => window.me[method](...parameters), [method, parameters]);
  }

  state() {
    return this.ask('state');
  }

  until(what, look, options = {}) {
    return until(`${this.name}: ${what}`, look, { explain: () => this.explain(), ...options });
  }

  async explain() {
    if (this.page.isClosed()) {
      return '(the tab is closed)';
    }
    const [state, tiles, log] = await Promise.all([this.state(), this.ask('tileList'), this.ask('logTail', 40)]);
    delete state.volumes;
    return [JSON.stringify(state), JSON.stringify(tiles), ...this.faults, ...log].join('\n');
  }

  async start(options = {}) {
    await this.ask('start', options);
    return this;
  }

  /** Starts and waits until the SDK says that it is in the meeting. */
  async join(options) {
    await this.start(options);
    await this.until('the meeting starts', async () => {
      const { starts, stops } = await this.state();
      if (stops.length) {
        throw new Error(`${this.name} stopped with ${stops} instead\n${await this.explain()}`);
      }
      return starts > 0;
    });
    return this;
  }

  async stopped(within = 10_000) {
    return this.until('the session stops', async () => (await this.state()).stops[0], { within });
  }

  async sees(other, { colour = other.colour, content = false, within = 10_000 } = {}) {
    const id = content ? `${other.id}#content` : other.id;
    return this.until(`sees ${other.name}${content ? "'s content" : ''} in ${colour}`, async () => {
      const tile = (await this.ask('tileList')).find(tile => tile.attendee === id && !tile.local);
      return tile && tile.content === content && nameOfColour(tile.colour) === colour ? tile : null;
    }, { within });
  }

  async doesNotSee(other, { content = false, within = 10_000 } = {}) {
    const id = content ? `${other.id}#content` : other.id;
    return this.until(`${other.name}${content ? "'s content" : ''} is gone`, async () =>
      !(await this.ask('tileList')).some(tile => tile.attendee === id && !tile.local), { within });
  }

  async knows(other, { content = false, within = 10_000 } = {}) {
    const id = content ? `${other.id}#content` : other.id;
    return this.until(`${other.name} is present`, async () => (await this.state()).presence[id]?.present, { within });
  }

  /** How loud these attendees (or frequencies) are in what this one receives, in dB. */
  async hears(others, seconds = 3) {
    const hertz = others.map(other => other.hertz ?? other);
    const loudness = await this.ask('hear', hertz, seconds);
    return hertz.map(frequency => loudness[frequency]);
  }

  /** Audio packets a second over a while, as the browser counted them. */
  async audioRate(seconds = 3) {
    const before = (await this.ask('stats')).audio;
    await this.page.waitForTimeout(seconds * 1000);
    const after = (await this.ask('stats')).audio;
    return ((after.packets - before.packets) * 1000) / (after.at - before.at);
  }

  async decoded() {
    return (await this.ask('stats')).video.reduce((sum, stream) => sum + stream.decoded, 0);
  }

  /** Frames are being decoded now, whatever was decoded before. */
  async watches(more = 15, within = 10_000) {
    const before = await this.decoded();
    return this.until(`decodes ${more} more frames`, async () => (await this.decoded()) >= before + more, { within });
  }

  close() {
    return this.page.close();
  }
}
