// A whole meeting with two browsers, as a queue hears of it. What needs no browser: api/test_notifications.py.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import AWS from 'aws-sdk';

import { World } from './support/meeting.mjs';
import { freePorts } from './support/service.mjs';
import { until } from './support/wait.mjs';

const MOTO = fileURLToPath(new URL('../.venv-moto/bin/moto_server', import.meta.url));
const CREDENTIALS = { AWS_ACCESS_KEY_ID: 'testing', AWS_SECRET_ACCESS_KEY: 'testing' };
const QUEUE = 'arn:aws:sqs:us-east-1:123456789012:meetings';

describe('notifications', { concurrency: 1 }, () => {
  let moto, sqs, queue, world;

  before(async () => {
    const port = (await freePorts()).http;
    const endpoint = `http://127.0.0.1:${port}`;
    moto = spawn(MOTO, ['-H', '127.0.0.1', '-p', String(port)], { stdio: 'ignore' });
    await until('moto answers', () => fetch(`${endpoint}/moto-api/`).then(() => true, () => false), { within: 30_000, every: 100 });
    sqs = new AWS.SQS({ endpoint, region: 'us-east-1', accessKeyId: 'testing', secretAccessKey: 'testing' });
    queue = (await sqs.createQueue({ QueueName: 'meetings' }).promise()).QueueUrl;
    world = await World.open({ env: { ...CREDENTIALS, CAMPANILE_NOTIFY__SQS_ENDPOINT: endpoint } });
  });

  after(async () => {
    await world?.close();
    moto?.kill();
  });

  /** What the queue holds, until `count` messages have come. */
  async function records(count) {
    const all = [];
    await until(`${count} messages`, async () => {
      const { Messages = [] } = await sqs.receiveMessage({ QueueUrl: queue, MaxNumberOfMessages: 10 }).promise();
      for (const message of Messages) {
        await sqs.deleteMessage({ QueueUrl: queue, ReceiptHandle: message.ReceiptHandle }).promise();
        all.push({ body: message.Body });
      }
      return all.length >= count;
    }, { within: 20_000, every: 50 }).catch(error => {
      throw new Error(`${error.message}: ${all.map(record => JSON.parse(record.body).detail.eventType)}`);
    });
    return all;
  }

  test('a whole meeting with two browsers, cameras and a share, each fact once and in order', async () => {
    const meeting = await world.control.meeting('notified', { NotificationsConfiguration: { SqsQueueArn: QUEUE } });
    const tabs = [];
    for (const [seat, name] of ['ann', 'bob'].entries()) {
      tabs.push(await world.seat(meeting, await world.control.attendee(meeting, name), seat));
    }
    const [ann, bob] = tabs;
    for (const tab of tabs) {
      await tab.join();
    }
    await ann.knows(bob);
    await bob.knows(ann);
    await ann.ask('startVideo');
    await bob.sees(ann);
    await ann.ask('stopVideo');
    await bob.doesNotSee(ann);
    await ann.ask('share', 'rgb(220,220,30)', 1750);
    await bob.sees(ann, { content: true, colour: 'yellow' });
    await ann.ask('unshare');
    await bob.doesNotSee(ann, { content: true });
    await bob.until('the share has left', async () => (await bob.state()).presence[`${ann.id}#content`].present === false);
    await bob.ask('stop');
    await bob.stopped();
    await ann.until('bob has left', async () => (await ann.state()).presence[bob.id].present === false);
    await world.control.endMeeting(meeting);
    await ann.stopped();
    await Promise.all(tabs.map(tab => tab.close()));

    const told = (await records(16)).map(record => JSON.parse(record.body).detail);
    const seen = told.map(detail => [detail.eventType.replace('chime:', ''), detail.externalUserId]);
    const of = name => seen.filter(([, who]) => who === name).map(([kind]) => kind);
    assert.deepEqual(seen[0], ['MeetingStarted', undefined]);
    assert.deepEqual(of('ann'), [
      'AttendeeAdded', 'AttendeeAuthorized', 'AttendeeJoined', 'AttendeeVideoStarted', 'AttendeeVideoStopped',
      'AttendeeContentJoined', 'AttendeeContentVideoStarted', 'AttendeeContentVideoStopped', 'AttendeeContentLeft',
      'AttendeeLeft',
    ]);
    assert.deepEqual(of('bob'), ['AttendeeAdded', 'AttendeeAuthorized', 'AttendeeJoined', 'AttendeeLeft']);
    assert.deepEqual(of(undefined), ['MeetingStarted', 'MeetingEnded']);
    for (const detail of told) {
      assert.equal(detail.meetingId, meeting.MeetingId);
      assert.equal(detail.mediaRegion, 'us-east-1');
      const isNetwork = /(Joined|Left|Dropped)$/.test(detail.eventType);
      assert.equal(detail.networkType, isNetwork ? 'Voip' : undefined, detail.eventType);
    }
  });
});
