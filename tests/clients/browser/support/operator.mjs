// What an operator does, by the verbs of the command line.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import { binary } from './service.mjs';

const run = promisify(execFile);

export class Operator {
  constructor(service) {
    this.env = { CAMPANILE_ENDPOINT: service.endpoint, CAMPANILE_OPERATOR_KEY: service.ready.operator_key };
  }

  /** One verb, and its answer as JSON. */
  async ask(...verb) {
    const { stdout } = await run(binary, [...verb, '--json'], { env: this.env });
    return JSON.parse(stdout);
  }

  attendee(verb, meeting, tab) {
    return this.ask('attendees', verb, meeting.MeetingId, tab.id);
  }

  /** `hears` and `heardBy`: pairs of a tab and a list of tabs. */
  mixRules(meeting, { hears = [], heardBy = [] }) {
    const flags = (flag, rules) => rules.flatMap(([who, others]) => [flag, `${who.id}=${others.map(other => other.id).join(',')}`]);
    const rules = [...flags('--hears', hears), ...flags('--heard-by', heardBy)];
    return this.ask('meetings', 'mix-rules', meeting.MeetingId, ...(rules.length ? rules : ['--clear']));
  }

  record(verb, meeting) {
    return this.ask('recordings', verb, meeting.MeetingId);
  }
}
