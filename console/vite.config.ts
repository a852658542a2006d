import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  // The binary serves `dist/` under this path.
  base: '/ui/',
  // A CommonJS dependency of the SDK still speaks of Node's global object.
  define: { global: 'window' },
  resolve: {
    alias: {
      // Only MessagingSession needs the AWS SDK and the console has no such session: 200 kB less.
      '@aws-sdk/client-chime-sdk-messaging': here('src/absent.ts'),
      // With `long` in the bundle protobufjs decodes 64-bit integers to objects where the SDK compares numbers:
      // no pong would ever reset its missed-pong counter, and no message would count as throttled.
      long: here('src/absent.ts'),
    },
  },
  build: {
    // Nothing inline: the page then runs under a policy without `data:` and `unsafe-inline`.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    license: { fileName: 'licenses.md' },
    // The SDK is one chunk of about 1.1 MB (240 kB compressed) that changes only with its version.
    chunkSizeWarningLimit: 1200,
    rolldownOptions: {
      input: { index: here('index.html'), meet: here('meet.html') },
      output: {
        codeSplitting: { groups: [{ name: 'chime-sdk', test: /node_modules/ }] },
      },
    },
  },
});
