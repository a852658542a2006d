"""MediaRegion: which are served, what a create says of others, and the nearest-region helper."""

import json
import urllib.parse

import pytest

from conftest import Api, status
from service import free_port
from wire import Wire


def refused(api, region):
    with api.raises("BadRequestException") as refusal:
        api.new_meeting(MediaRegion=region)
    assert status(refusal.value.response) == 400
    return refusal.value.response["Error"]["Message"]


@pytest.mark.parametrize("region", ["us-east-1", "us-west-2"])
def test_dev_serves_two_regions(api, region):
    assert api.new_meeting(MediaRegion=region)["MediaRegion"] == region


def test_a_region_that_is_not_served_is_told_which_are(api):
    message = refused(api, "eu-north-1")
    assert "eu-north-1" in message and "us-east-1" in message and "us-west-2" in message


@pytest.mark.old
def test_the_old_namespace_has_a_default(api):
    assert api.new_meeting()["MediaRegion"] == "us-east-1"


@pytest.mark.new
def test_the_regions_are_a_setting(own_service):
    service = own_service(settings={"MEDIA__REGIONS": "us-east-1,eu-central-1"}).start()
    api = Api(service)
    assert api.new_meeting(MediaRegion="eu-central-1")["MediaRegion"] == "eu-central-1"
    assert "eu-central-1" in refused(api, "us-west-2")
    service.stop()


@pytest.mark.new
def test_a_region_may_have_host_names_of_its_own(own_service):
    port = free_port()
    service = own_service(
        http_port=port,
        config=f"""
[http]
public_url = "http://meet.example:{port}"
[media]
public_address = "127.0.0.1"
[media.regions.us-east-1]
[media.regions.eu-central-1]
public_url = "https://eu.meet.example"
public_address = "127.0.0.1:3999"
""",
    ).start()
    service.ready["endpoint"] = f"http://127.0.0.1:{port}"
    api = Api(service)
    hosts = {}
    for region in ("us-east-1", "eu-central-1"):
        meeting = api.new_meeting(MediaRegion=region)
        assert api.get_meeting(MeetingId=meeting["MeetingId"])["Meeting"] == meeting
        placement = meeting["MediaPlacement"]
        hosts[region] = urllib.parse.urlsplit(placement["SignalingUrl"])
        if region == "eu-central-1":
            assert placement["AudioHostUrl"] == "127.0.0.1:3999"
    nearest = Wire(service).plain("GET", "/nearest-media-region", b"", {"Host": "eu.meet.example"})
    assert nearest.json == {"region": "eu-central-1"}, "whoever asks by a region's own name is near it"
    assert hosts["us-east-1"].netloc == f"meet.example:{port}" and hosts["us-east-1"].scheme == "ws"
    assert hosts["eu-central-1"].netloc == "eu.meet.example" and hosts["eu-central-1"].scheme == "wss"
    service.stop()


@pytest.mark.new
def test_the_nearest_region_needs_no_signature_and_any_page_may_ask(service):
    answer = Wire(service).send("GET", "/nearest-media-region", sign=False, headers={"Origin": "http://localhost:3000"})
    assert answer.status == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Content-Type"].split(";")[0] == "application/json"
    assert json.loads(answer.body) == {"region": "us-east-1"}


@pytest.mark.new
def test_the_nearest_region_is_one_that_is_served(own_service):
    service = own_service(settings={"MEDIA__REGIONS": "eu-central-1"}).start()
    region = Wire(service).send("GET", "/nearest-media-region", sign=False).json["region"]
    assert Api(service).new_meeting(MediaRegion=region)["MediaRegion"] == "eu-central-1"
    service.stop()
