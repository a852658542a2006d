// The numbers of docs/performance.md, measured on this machine against the binary of CAMPANILE_BIN (`make measure`).
//
// Everything runs on one machine, browsers included: the numbers are upper bounds for what the service itself costs.
import fs from 'node:fs';
import os from 'node:os';
import { parseArgs } from 'node:util';

import { closeAll, NAMES, World } from './support/meeting.mjs';
import { binary, Service } from './support/service.mjs';
import { delay } from './support/wait.mjs';

const { values: options } = parseArgs({
  options: {
    joins: { type: 'string', default: '20' },
    starts: { type: 'string', default: '10' },
    seconds: { type: 'string', default: '20' },
    json: { type: 'boolean', default: false },
  },
});

const rows = [];
const row = (what, value, unit, note = '') => {
  rows.push({ what, value, unit, note });
  process.stderr.write(`  ${what}: ${value} ${unit}\n`);
};
const sorted = values => [...values].sort((one, other) => one - other);
const median = values => {
  const order = sorted(values);
  const middle = order.length / 2;
  return order.length % 2 ? order[Math.floor(middle)] : (order[middle - 1] + order[middle]) / 2;
};
const spread = values => `${Math.round(sorted(values)[0])} to ${Math.round(sorted(values).at(-1))}`;

async function startUp() {
  const took = [];
  let idle;
  for (let round = 0; round < Number(options.starts); round += 1) {
    const service = await new Service().start();
    took.push(service.readyTook);
    if (round === 0) {
      await delay(3000);
      idle = service.usage().residentKib;
    }
    await service.stop();
  }
  row('start to ready, median', median(took).toFixed(0), 'ms', `${took.length} first starts, ${spread(took)}`);
  row('memory when idle', (idle / 1024).toFixed(1), 'MiB', '3 s after the start, nothing done yet');
}

async function joins(world) {
  const took = [];
  const meeting = await world.control.meeting('join time');
  const attendee = await world.control.attendee(meeting, NAMES[0]);
  // The first page of a browser joins slower, whoever serves it.
  for (let round = -1; round < Number(options.joins); round += 1) {
    const tab = await world.seat(meeting, attendee, 0);
    await tab.join();
    if (round >= 0) {
      took.push((await tab.state()).startTook);
    }
    await tab.ask('stop');
    await tab.stopped();
    await tab.close();
  }
  row('start() to audioVideoDidStart, median', median(took).toFixed(0), 'ms', `${took.length} joins, ${spread(took)}`);
}

async function load(world, count, cameras) {
  const { tabs } = await world.meet(count, { pictureSize: { width: 640, height: 360 } });
  if (cameras) {
    for (const tab of tabs) {
      await tab.ask('startVideo');
    }
    for (const tab of tabs) {
      for (const other of tabs.filter(other => other !== tab)) {
        await tab.sees(other, { within: 30_000 });
      }
    }
  }
  await delay(5000);
  const packets = async () => Promise.all(tabs.map(tab => tab.ask('stats')));
  const seconds = Number(options.seconds);
  const [before, statsBefore, begun] = [world.service.usage(), await packets(), performance.now()];
  await delay(seconds * 1000);
  const elapsed = (performance.now() - begun) / 1000;
  const [after, statsAfter] = [world.service.usage(), await packets()];
  const percent = (100 * (after.cpuSeconds - before.cpuSeconds)) / elapsed;
  const what = `${count} attendees${cameras ? ' with cameras' : ', sound only'}`;
  const frames = statsAfter.reduce((sum, stats, at) =>
    sum + stats.video.reduce((all, stream) => all + stream.decoded, 0) - statsBefore[at].video.reduce((all, stream) => all + stream.decoded, 0), 0);
  const rate = statsAfter.map((stats, at) => (stats.audio.packets - statsBefore[at].audio.packets) / elapsed);
  row(`processor, one meeting of ${what}`, percent.toFixed(1), '% of a core', `over ${seconds} s`);
  row(`memory, one meeting of ${what}`, (after.residentKib / 1024).toFixed(1), 'MiB');
  row(`sound received, one meeting of ${what}`, Math.min(...rate).toFixed(1), 'packets/s', 'the least of all attendees');
  if (cameras) {
    const streams = count * (count - 1);
    row(`frames decoded, one meeting of ${what}`, (frames / elapsed / streams).toFixed(1), 'frames/s', `mean of ${streams} streams of 640x360`);
  }
  await closeAll(tabs);
}

process.stderr.write(`measuring ${binary}\n`);
await startUp();
const world = await World.open();
try {
  await joins(world);
  await load(world, 2, false);
  await load(world, 3, true);
  await delay(20_000);
  row('memory after all meetings', (world.service.usage().residentKib / 1024).toFixed(1), 'MiB', '20 s after the last attendee left');
} finally {
  await world.close();
}
row('size of the binary', (fs.statSync(binary).size / 2 ** 20).toFixed(1), 'MiB');

if (options.json) {
  console.log(JSON.stringify(rows, null, 2));
} else {
  console.log(`\n${os.cpus().length} cores, ${os.cpus()[0].model.trim()}, ${process.platform}; Chromium on the same machine\n`);
  console.log('| what | value | |');
  console.log('|---|---|---|');
  rows.forEach(({ what, value, unit, note }) => console.log(`| ${what} | ${value} ${unit} | ${note} |`));
}
