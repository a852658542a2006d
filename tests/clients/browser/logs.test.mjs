// What a meeting leaves in the log when everything is logged: no join token, no secret, no ICE password.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { closeAll, World } from './support/meeting.mjs';

describe('the log at its finest', () => {
  let world;
  before(async () => {
    // Libraries below the service speak of ICE passwords and whole messages: naming them must not bring these out either.
    const level = 'trace,is=trace,str0m=trace,tungstenite=trace,tokio_tungstenite=trace,hyper=trace';
    world = await World.open({ env: { CAMPANILE_LOG__LEVEL: level } });
  });
  after(() => world?.close());

  test('holds nothing that lets anybody in', async () => {
    const { tabs } = await world.meet(2, { camera: true });
    const secrets = new Set([world.service.ready.secret_access_key, ...tabs.map(tab => tab.credentials.JoinToken)]);
    for (const tab of tabs) {
      const descriptions = await tab.page.evaluate(() =>
        window.connections.flatMap(made => [made.localDescription?.sdp ?? '', made.remoteDescription?.sdp ?? '']));
      const passwords = descriptions.flatMap(sdp => [...sdp.matchAll(/a=ice-pwd:(\S+)/g)].map(([, password]) => password));
      // Both ends': the browser's and the service's.
      assert.ok(new Set(passwords).size >= 2, `${tab.name} has ${passwords.length} ICE passwords`);
      passwords.forEach(password => secrets.add(password));
    }
    await closeAll(tabs);

    const log = fs.readFileSync(world.service.logFile, 'utf8').replace(/^export .*$/gm, '');
    assert.match(log, /TRACE/, 'the log is not at its finest');
    for (const secret of secrets) {
      for (const form of [secret, Buffer.from(secret).toString('hex')]) {
        const at = log.indexOf(form);
        assert.equal(at, -1, `the log says: ${log.slice(Math.max(0, at - 200), at)}[...]`);
      }
    }
  });
});
