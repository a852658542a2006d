// Attendees without a browser: the binary's own load test, in a meeting that tests hold with browsers.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';

import { binary } from './service.mjs';

/** Longer than any test: they are told to leave before. */
const DURATION_S = 900;

export class Crowd {
  constructor(service, meeting, args) {
    const { endpoint, access_key_id: key, secret_access_key: secret, region } = service.ready;
    this.process = spawn(
      binary,
      [
        'loadtest',
        '--json',
        '--endpoint', endpoint,
        '--region', region,
        '--access-key-id', key,
        '--secret-access-key', secret,
        '--meeting', meeting.MeetingId,
        '--duration', `${DURATION_S}`,
        ...args,
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    this.said = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr']) {
      this.process[name].setEncoding('utf8').on('data', text => (this.said[name] += text));
    }
    this.ended = once(this.process, 'close');
  }

  /** All of them leave in good order. What they report. */
  async leave() {
    this.process.kill('SIGINT');
    const [status] = await this.ended;
    assert.equal(status, 0, this.said.stderr);
    return JSON.parse(this.said.stdout);
  }

  /** Whatever has happened to them: they are gone. */
  kill() {
    this.process.kill('SIGKILL');
  }
}
