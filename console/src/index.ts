import { must } from './dom';

// The variable that every AWS SDK and the CLI read for this one service.
must('#endpoint', HTMLElement).textContent = `export AWS_ENDPOINT_URL_CHIME_SDK_MEETINGS=${location.origin}`;
