// Starts and ends the binary under test. CAMPANILE_BIN says where it is.
import { execFileSync, spawn } from 'node:child_process';
import dgram from 'node:dgram';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

export const binary =
  process.env.CAMPANILE_BIN ?? path.resolve(import.meta.dirname, '../../../../target/debug/campanile');

const READY_WITHIN_MS = 20_000;
const EXIT_WITHIN_MS = 5_000;

const EVENTS = `
import json, sqlite3, sys
database = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
rows = database.execute("SELECT detail FROM outbox WHERE meeting = ? ORDER BY sequence", sys.argv[2:])
print(json.dumps([detail for (detail,) in rows]))
`;

/** Ports that were free a moment ago: one for HTTP, one for media. */
export async function freePorts() {
  const http = net.createServer().listen(0, '127.0.0.1');
  const media = dgram.createSocket('udp4').bind(0, '127.0.0.1');
  await Promise.all([once(http, 'listening'), once(media, 'listening')]);
  const ports = { http: http.address().port, media: media.address().port };
  http.close();
  media.close();
  return ports;
}

export class Service {
  constructor({ http = 0, media = 0, args = [], env = {} } = {}) {
    this.ports = { http, media };
    this.args = args;
    this.env = env;
    this.root = fs.mkdtempSync(path.join(os.tmpdir(), 'campanile-test-'));
    this.starts = 0;
  }

  async start() {
    this.starts += 1;
    const readyFile = path.join(this.root, `ready-${this.starts}.json`);
    this.logFile = path.join(this.root, `log-${this.starts}.txt`);
    const log = fs.openSync(this.logFile, 'w');
    const begun = performance.now();
    this.process = spawn(
      binary,
      [
        'dev',
        '--http', `127.0.0.1:${this.ports.http}`,
        '--media', `127.0.0.1:${this.ports.media}`,
        '--data-dir', path.join(this.root, 'data'),
        '--ready-file', readyFile,
        ...this.args,
      ],
      { stdio: ['ignore', log, log], env: { ...process.env, ...this.env } },
    );
    fs.closeSync(log);
    this.ended = once(this.process, 'exit');
    // Listening for it keeps a missing binary from ending the test run; what it means is said below.
    this.process.on('error', error => (this.fault = error));
    while (!fs.existsSync(readyFile)) {
      if (this.fault || this.process.exitCode !== null || performance.now() - begun > READY_WITHIN_MS) {
        this.process.kill('SIGKILL');
        throw new Error(`${binary} did not become ready (exit ${this.process.exitCode}) ${this.fault ?? ''}\n${this.tail()}`);
      }
      await delay(2);
    }
    this.readyTook = performance.now() - begun;
    this.ready = JSON.parse(fs.readFileSync(readyFile, 'utf8'));
    return this;
  }

  get endpoint() {
    return this.ready.endpoint;
  }

  tail() {
    return fs.existsSync(this.logFile) ? fs.readFileSync(this.logFile, 'utf8').slice(-4000) : '';
  }

  running() {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  /** SIGTERM, with what is promised about it. */
  async stop() {
    if (!this.running()) {
      throw new Error(`the service ended by itself: exit ${this.process.exitCode} ${this.process.signalCode}\n${this.tail()}`);
    }
    const begun = performance.now();
    this.process.kill('SIGTERM');
    // The wait must not keep the tests from ending once the service has.
    const outcome = await Promise.race([this.ended, delay(EXIT_WITHIN_MS + 5_000, undefined, { ref: false })]);
    if (!outcome) {
      this.process.kill('SIGKILL');
      throw new Error(`still running after SIGTERM\n${this.tail()}`);
    }
    const took = performance.now() - begun;
    if (outcome[0] !== 0 || took > EXIT_WITHIN_MS) {
      throw new Error(`SIGTERM: exit ${outcome[0]} ${outcome[1]} after ${Math.round(took)} ms\n${this.tail()}`);
    }
  }

  async kill() {
    this.process.kill('SIGKILL');
    await this.ended;
  }

  /** The details of the events that were decided for a meeting, in order: what a sink would be sent. Node 20 reads no SQLite. */
  events(meeting) {
    const database = path.join(this.root, 'data', 'campanile.db');
    return JSON.parse(execFileSync('python3', ['-c', EVENTS, database, meeting.MeetingId])).map(detail => JSON.parse(detail));
  }

  /** What the operator's API answers to this. */
  async operator(path) {
    const headers = { authorization: `Bearer ${this.ready.operator_key}` };
    return (await fetch(`${this.endpoint}/admin/v1/${path}`, { headers })).json();
  }

  /** The lines of /metrics as a map from name and labels to value. */
  async metrics() {
    const text = await (await fetch(`${this.endpoint}/metrics`)).text();
    const lines = text.split('\n').filter(line => line && !line.startsWith('#'));
    return new Map(lines.map(line => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]));
  }

  /** From /proc: resident memory in KiB, and processor time in seconds. */
  usage() {
    const status = fs.readFileSync(`/proc/${this.process.pid}/status`, 'utf8');
    const stat = fs.readFileSync(`/proc/${this.process.pid}/stat`, 'utf8');
    // After the command's name in brackets: utime and stime are fields 14 and 15, in ticks of 10 ms.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return {
      residentKib: Number(/VmRSS:\s+(\d+)/.exec(status)[1]),
      cpuSeconds: (Number(fields[11]) + Number(fields[12])) / 100,
    };
  }
}
