import { setTimeout as delay } from 'node:timers/promises';

export { delay };

/** Polls until `look` answers something true, and answers that; explains itself when it never does. */
export async function until(what, look, { within = 10_000, every = 50, explain } = {}) {
  const begun = performance.now();
  let last;
  for (;;) {
    last = await look();
    if (last) {
      return last;
    }
    if (performance.now() - begun > within) {
      const more = explain ? `\n${await explain()}` : '';
      throw new Error(`not within ${within} ms: ${what}${more}`);
    }
    await delay(every);
  }
}
