const TEST_CALL = '/ui/api/test-call';
const LEAVE = '/ui/api/test-call/leave';

/** What the server hands out for a test call: the shapes of AWS CreateMeeting and CreateAttendee, passed on to the SDK as they are. */
export interface Admission {
  Meeting: { MeetingId: string; MediaPlacement: Record<string, string> };
  Attendee: { AttendeeId: string; ExternalUserId: string; JoinToken: string };
}

/** The server refused, or did not answer. The message is for people. */
export class AdmissionError extends Error {}

/** Finds or makes the meeting of that name and makes an attendee in it. */
export async function admit(meeting: string, name: string): Promise<Admission> {
  let response: Response;
  try {
    response = await fetch(TEST_CALL, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ meeting, name }),
    });
  } catch {
    throw new AdmissionError(`The server at ${location.host} does not answer. Is it still running?`);
  }
  const body: unknown = await response.json().catch(() => null);
  if (!response.ok) {
    throw new AdmissionError(messageOf(body) ?? refusal(response.status));
  }
  if (!isAdmission(body)) {
    throw new AdmissionError('The server answered, but not with a meeting. Do the page and the server have the same version?');
  }
  return body;
}

/** Tells the server that this attendee is gone. Best effort: it also survives the page being closed. */
export function resign(admission: Admission): void {
  const body = JSON.stringify({
    MeetingId: admission.Meeting.MeetingId,
    AttendeeId: admission.Attendee.AttendeeId,
    // Only who holds the attendee's token may remove it.
    JoinToken: admission.Attendee.JoinToken,
  });
  navigator.sendBeacon(LEAVE, new Blob([body], { type: 'application/json' }));
}

function messageOf(body: unknown): string | undefined {
  const message = isRecord(body) ? (body['message'] ?? body['Message']) : undefined;
  return typeof message === 'string' && message !== '' ? message : undefined;
}

function refusal(status: number): string {
  return status === 404
    ? 'This server has no test call. It is offered by `campanile dev` only.'
    : `The server refused the test call (HTTP ${status}).`;
}

function isAdmission(body: unknown): body is Admission {
  if (!isRecord(body) || !isRecord(body['Meeting']) || !isRecord(body['Attendee'])) {
    return false;
  }
  const { Meeting, Attendee } = body as { Meeting: Record<string, unknown>; Attendee: Record<string, unknown> };
  return (
    isRecord(Meeting['MediaPlacement']) &&
    [Meeting['MeetingId'], Attendee['AttendeeId'], Attendee['ExternalUserId'], Attendee['JoinToken']].every(
      (text) => typeof text === 'string' && text !== '',
    )
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
