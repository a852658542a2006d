// The server makes an ExternalUserId of "<display name>#<random>".
const SEPARATOR = '#';

/** The part of an ExternalUserId that people should see; the id itself when there is no other part. */
export function displayName(externalUserId: string): string {
  const cut = externalUserId.lastIndexOf(SEPARATOR);
  const name = (cut > 0 ? externalUserId.slice(0, cut) : externalUserId).trim();
  return name || externalUserId;
}

/** One or two letters for a tile without a picture. */
export function initials(name: string): string {
  const words = name.split(/\s+/).filter(Boolean);
  const letters = [words[0], words.length > 1 ? words[words.length - 1] : undefined]
    .map((word) => (word ? [...word][0] : ''))
    .join('');
  return letters.toUpperCase() || '?';
}

/** A hue that stays the same for a name, in degrees. */
export function hue(name: string): number {
  let sum = 0;
  for (const letter of name) {
    sum = (sum * 31 + (letter.codePointAt(0) ?? 0)) % 360;
  }
  // Like names end up far apart: 137 and 360 share no factor.
  return (sum * 137) % 360;
}
