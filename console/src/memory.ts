const PREFIX = 'campanile.';

/** What this browser remembers between visits. A browser that forbids storage remembers nothing, and that is fine. */
export function recall(key: string): string {
  try {
    return localStorage.getItem(PREFIX + key) ?? '';
  } catch {
    return '';
  }
}

export function remember(key: string, value: string): void {
  try {
    localStorage.setItem(PREFIX + key, value);
  } catch {
    // see above
  }
}
