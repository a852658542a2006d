import type { DataMessage } from 'amazon-chime-sdk-js';
import { element, must } from './dom';
import { displayName } from './names';

/** The service's limit for one data message, in bytes. */
const LONGEST = 2048;
/** Older messages leave the list. */
const KEPT = 500;

export interface ChatMessage {
  sender: string;
  text: string;
  /** Milliseconds since 1970. */
  at: number;
  own: boolean;
}

/** The list of messages and the line to write one. Knows nothing of the session. */
export class Chat {
  private readonly list = must('#messages', HTMLOListElement);
  private readonly form = must('#chat-form', HTMLFormElement);
  private readonly text = must('#chat-text', HTMLTextAreaElement);
  private readonly problem = must('#chat-problem', HTMLElement);
  private readonly messages: ChatMessage[] = [];
  private readonly seen = new Set<string>();

  /** `send` throws if the message cannot be sent. */
  constructor(private readonly send: (text: string) => void) {
    this.form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.submit();
    });
    this.text.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        this.submit();
      }
    });
    this.text.addEventListener('input', () => this.check());
  }

  /** A message of someone else. Undefined if it was shown before: the server repeats some after a reconnect. */
  receive(message: DataMessage): ChatMessage | undefined {
    if (message.throttled) {
      this.complain('Too many messages at once: the server did not deliver your last one.');
      return undefined;
    }
    const received = {
      sender: displayName(message.senderExternalUserId),
      text: message.text(),
      at: message.timestampMs,
      own: false,
    };
    const key = `${message.senderAttendeeId} ${received.at} ${received.text}`;
    if (this.seen.has(key)) {
      return undefined;
    }
    this.seen.add(key);
    this.show(received);
    return received;
  }

  focus(): void {
    this.text.focus();
    this.list.scrollTop = this.list.scrollHeight;
  }

  clear(): void {
    this.messages.length = 0;
    this.seen.clear();
    this.list.replaceChildren();
    this.text.value = '';
    this.complain('');
  }

  snapshot(): ChatMessage[] {
    return [...this.messages];
  }

  private submit(): void {
    const text = this.text.value.trim();
    if (text === '' || !this.check()) {
      return;
    }
    try {
      this.send(text);
    } catch {
      this.complain('Not sent: there is no connection just now. Try again in a moment.');
      return;
    }
    this.text.value = '';
    this.check();
    // The server does not send a message back to its sender.
    this.show({ sender: 'You', text, at: Date.now(), own: true });
  }

  private check(): boolean {
    const bytes = new TextEncoder().encode(this.text.value.trim()).length;
    const fits = bytes <= LONGEST;
    this.complain(fits ? '' : `Too long by ${bytes - LONGEST} bytes.`);
    return fits;
  }

  private complain(text: string): void {
    this.problem.textContent = text;
    this.problem.hidden = text === '';
  }

  private show(message: ChatMessage): void {
    const atEnd = this.list.scrollHeight - this.list.scrollTop - this.list.clientHeight < 40;
    const previous = this.messages.at(-1);
    this.messages.push(message);
    const item = element(
      'li',
      'message',
      element(
        'p',
        'message-head',
        element('strong', '', message.sender),
        element('time', '', new Date(message.at).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })),
      ),
      element('p', 'message-text', message.text),
    );
    item.dataset['own'] = String(message.own);
    item.dataset['follows'] = String(previous?.sender === message.sender && previous.own === message.own);
    this.list.append(item);
    if (this.messages.length > KEPT) {
      this.messages.shift();
      this.list.firstElementChild?.remove();
    }
    if (atEnd || message.own) {
      this.list.scrollTop = this.list.scrollHeight;
    }
  }
}
