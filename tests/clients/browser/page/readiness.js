// The SDK's own checks of whether a meeting will work here, with the devices that this browser has.
import {
  CheckAudioConnectivityFeedback,
  CheckAudioInputFeedback,
  CheckAudioOutputFeedback,
  CheckCameraResolutionFeedback,
  CheckContentShareConnectivityFeedback,
  CheckNetworkTCPConnectivityFeedback,
  CheckNetworkUDPConnectivityFeedback,
  CheckVideoConnectivityFeedback,
  CheckVideoInputFeedback,
  DefaultMeetingReadinessChecker,
} from 'amazon-chime-sdk-js';

/** Runs every check over this session, which has not started, and answers the feedback of each by its name. */
export async function checkReadiness(session, log) {
  const checker = new DefaultMeetingReadinessChecker(log, session);
  const [microphone] = await session.audioVideo.listAudioInputDevices();
  const [camera] = await session.audioVideo.listVideoInputDevices();
  const heard = async () => true;
  return {
    checkAudioInput: CheckAudioInputFeedback[await checker.checkAudioInput(microphone.deviceId)],
    checkAudioOutput: CheckAudioOutputFeedback[await checker.checkAudioOutput(null, heard)],
    checkVideoInput: CheckVideoInputFeedback[await checker.checkVideoInput(camera.deviceId)],
    checkCameraResolution: CheckCameraResolutionFeedback[await checker.checkCameraResolution(camera.deviceId, 1280, 720)],
    checkContentShareConnectivity: CheckContentShareConnectivityFeedback[await checker.checkContentShareConnectivity()],
    checkAudioConnectivity: CheckAudioConnectivityFeedback[await checker.checkAudioConnectivity(microphone.deviceId)],
    checkVideoConnectivity: CheckVideoConnectivityFeedback[await checker.checkVideoConnectivity(camera.deviceId)],
    checkNetworkUDPConnectivity: CheckNetworkUDPConnectivityFeedback[await checker.checkNetworkUDPConnectivity()],
    checkNetworkTCPConnectivity: CheckNetworkTCPConnectivityFeedback[await checker.checkNetworkTCPConnectivity()],
  };
}
