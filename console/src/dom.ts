/** The element of that selector and class. It is in the page's own HTML, so a missing one is a fault of ours. */
export function must<T extends Element>(selector: string, kind: new () => T, within: ParentNode = document): T {
  const found = within.querySelector(selector);
  if (!(found instanceof kind)) {
    throw new Error(`the page has no ${kind.name} at ${selector}`);
  }
  return found;
}

/** A new element with its class and children. Text is always text, never markup. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className = '',
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  made.className = className;
  made.append(...children);
  return made;
}

const SVG = 'http://www.w3.org/2000/svg';

/** One icon of the sprite in meet.html, for example `icon('mic-off')`. */
export function icon(name: string): SVGSVGElement {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS(SVG, 'use');
  use.setAttribute('href', `#icon-${name}`);
  svg.append(use);
  return svg;
}

/** Puts another icon of the sprite into a button that already shows one. */
export function setIcon(within: Element, name: string): void {
  within.querySelector('use')?.setAttribute('href', `#icon-${name}`);
}
