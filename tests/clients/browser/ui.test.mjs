// The test call at /ui/meet as two people use it: the real page of the binary, the browser's fake microphone and camera.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { Stage } from './support/chromium.mjs';
import { Service } from './support/service.mjs';
import { until } from './support/wait.mjs';

describe('the test call at /ui/meet', { concurrency: 1 }, () => {
  let service;
  let stage;
  before(async () => {
    service = await new Service().start();
    stage = await Stage.open();
  });
  after(async () => {
    await stage?.close();
    await service?.stop();
  });

  async function person(name, meeting, query = '') {
    // A context of its own: another person has other storage.
    const context = await stage.browser.newContext();
    await context.grantPermissions(['microphone', 'camera']);
    const page = await context.newPage();
    page.faults = [];
    page.on('pageerror', error => page.faults.push(`${error}`));
    page.on('console', message => {
      if (message.type() === 'error') {
        page.faults.push(`${message.text()} ${message.location().url}`);
      }
    });
    page.on('response', async response => {
      if (response.status() >= 400) {
        page.faults.push(`${response.status()} ${response.request().method()} ${response.url()}: ${await response.text().catch(() => '')}`);
      }
    });
    await page.goto(`${service.endpoint}/ui/meet${query}`);
    await page.fill('#meeting-name', meeting);
    await page.fill('#your-name', name);
    await page.click('#join');
    await page.waitForSelector('#meeting:not([hidden])', { timeout: 15_000 });
    return page;
  }

  const other = '[data-attendee][data-self="false"]';

  test('two people meet by name, see, mute, write and leave', async () => {
    const ada = await person('Ada', 'kitchen table');
    const ben = await person('Ben', 'kitchen table');
    for (const [page, name] of [[ada, 'Ben'], [ben, 'Ada']]) {
      await page.waitForSelector(other);
      assert.match(await page.textContent(other), new RegExp(name));
    }

    // Camera: asked for on the bar, seen at the other end, gone again.
    await ada.click('#camera');
    await until('Ada is seen by Ben', () =>
      ben.evaluate(selector => {
        const video = document.querySelector(`${selector} video`);
        return video && !video.hidden && video.videoWidth > 0 && video.currentTime > 0;
      }, other));
    await ada.click('#camera');
    await until('Ada is no longer seen', () => ben.evaluate(selector => document.querySelector(`${selector} video`).hidden, other));

    // Mute shows at the other end.
    const muted = value => until(`muted is ${value}`, () =>
      ben.evaluate(([selector, value]) => document.querySelector(selector).dataset.muted === value, [other, value]));
    await muted('false');
    await ada.click('#mic');
    await muted('true');
    await ada.click('#mic');
    await muted('false');

    // Chat: what is written is shown as text, whatever it looks like.
    await ada.click('#chat-toggle');
    await ada.fill('#chat-text', '<b>hello</b> & «you»');
    await ada.press('#chat-text', 'Enter');
    await ben.click('#chat-toggle');
    await until('the message', async () => (await ben.textContent('#messages')).includes('<b>hello</b> & «you»'));
    assert.match(await ben.textContent('#messages'), /Ada/);

    await ada.click('#leave');
    await until('Ada is gone', () => ben.evaluate(selector => !document.querySelector(selector), other));
    await ben.click('#leave');
    for (const page of [ada, ben]) {
      await page.waitForSelector('#meeting', { state: 'hidden' });
      assert.deepEqual(page.faults, [], 'nothing went wrong in the page');
      await page.context().close();
    }
  });

  test('different names are different meetings', async () => {
    const ada = await person('Ada', 'first room');
    const ben = await person('Ben', 'second room');
    await ben.waitForTimeout(1500);
    assert.equal(await ben.$(other), null);
    assert.equal(await ada.$(other), null);
    for (const page of [ada, ben]) {
      await page.context().close();
    }
  });

  test('a page from elsewhere gets no token', async () => {
    // What a page of the internet could try: the endpoint of the test call, from a foreign origin.
    const page = await stage.context.newPage();
    const asked = [];
    const ada = await stage.browser.newContext();
    const own = await ada.newPage();
    own.on('request', request => {
      if (request.method() === 'POST' && request.url().startsWith(`${service.endpoint}/ui/`)) {
        asked.push({ url: request.url(), body: request.postData(), headers: request.headers() });
      }
    });
    await own.goto(`${service.endpoint}/ui/meet?mic=off`);
    await own.fill('#meeting-name', 'private');
    await own.fill('#your-name', 'Ada');
    await own.click('#join');
    await own.waitForSelector('#meeting:not([hidden])', { timeout: 15_000 });
    assert.ok(asked.length >= 1, 'the page asks its own endpoint');

    await page.goto(stage.url);
    for (const { url, body } of asked) {
      const outcome = await page.evaluate(async ({ url, body }) => {
        try {
          const answer = await fetch(url, { method: 'POST', body, headers: { 'content-type': 'text/plain' } });
          return `${answer.status} ${(await answer.text()).slice(0, 200)}`;
        } catch (error) {
          return `${error}`;
        }
      }, { url, body });
      assert.doesNotMatch(outcome, /JoinToken/i, 'a page on another port is another origin');
      const direct = await fetch(url, {
        method: 'POST', body, headers: { 'content-type': 'application/json', origin: 'http://evil.example' },
      });
      assert.ok(direct.status >= 400, `${direct.status} to a foreign origin`);
      assert.doesNotMatch(await direct.text(), /JoinToken/i);
    }
    await ada.close();
    await page.close();
  });
});
