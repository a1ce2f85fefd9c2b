"""Works against the test server with msgraph-sdk, which knows nothing of it.

Arguments: URL with `/v1.0`, user, token, file with the authority's certificate.
Prints one line for each thing that was found, as JSON.
"""

import asyncio
import datetime
import json
import sys

import httpx
from kiota_abstractions.authentication import (
    AccessTokenProvider,
    AllowedHostsValidator,
    BaseBearerTokenAuthenticationProvider,
)
from kiota_abstractions.base_request_configuration import RequestConfiguration
from msgraph import GraphRequestAdapter, GraphServiceClient
from msgraph.generated.models.body_type import BodyType
from msgraph.generated.models.email_address import EmailAddress
from msgraph.generated.models.file_attachment import FileAttachment
from msgraph.generated.models.followup_flag import FollowupFlag
from msgraph.generated.models.followup_flag_status import FollowupFlagStatus
from msgraph.generated.models.item_attachment import ItemAttachment
from msgraph.generated.models.item_body import ItemBody
from msgraph.generated.models.mail_folder import MailFolder
from msgraph.generated.models.message import Message
from msgraph.generated.models.o_data_errors.o_data_error import ODataError
from msgraph.generated.models.recipient import Recipient
from msgraph.generated.models.single_value_legacy_extended_property import (
    SingleValueLegacyExtendedProperty,
)
from msgraph.generated.users.item.mail_folders.item.messages.delta.delta_request_builder import (
    DeltaRequestBuilder,
)
from msgraph.generated.users.item.messages.item.message_item_request_builder import (
    MessageItemRequestBuilder,
)
from msgraph.generated.users.item.messages.item.move.move_post_request_body import MovePostRequestBody
from msgraph_core import GraphClientFactory

URL, USER, TOKEN, CA = sys.argv[1:5]


def tell(what, value):
    print(json.dumps({what: value}, default=str))


class Provider(AccessTokenProvider):
    async def get_authorization_token(self, uri, additional_authentication_context=None):
        return TOKEN

    def get_allowed_hosts_validator(self):
        return AllowedHostsValidator([])


def property(name, value):
    return SingleValueLegacyExtendedProperty(id=name, value=value)


def configured(of, **parameters):
    return RequestConfiguration(query_parameters=of(**parameters))


async def delta(client, folder):
    builder = client.users.by_user_id(USER).mail_folders.by_mail_folder_id(folder).messages.delta
    parameters = DeltaRequestBuilder.DeltaRequestBuilderGetQueryParameters
    page = await builder.get(configured(parameters, select=["subject", "isRead"]))
    found, pages = [], 1
    while True:
        found += page.value
        if not page.odata_next_link:
            return found, pages, page.odata_delta_link
        page = await builder.with_url(page.odata_next_link).get()
        pages += 1


async def main():
    adapter = GraphRequestAdapter(
        BaseBearerTokenAuthenticationProvider(Provider()),
        client=GraphClientFactory.create_with_default_middleware(client=httpx.AsyncClient(verify=CA)),
    )
    adapter.base_url = URL
    client = GraphServiceClient(request_adapter=adapter)
    user = client.users.by_user_id(USER)

    folders, page = [], await user.mail_folders.get()
    while True:
        folders += page.value
        if not page.odata_next_link:
            break
        page = await user.mail_folders.with_url(page.odata_next_link).get()
    tell("folders", sorted(f.display_name for f in folders))
    changes = await user.mail_folders.delta.get()
    tell("folder delta", len(changes.value))
    made = await user.mail_folders.post(MailFolder(display_name="By the SDK"))
    below = user.mail_folders.by_mail_folder_id(made.id).child_folders
    await below.post(MailFolder(display_name="Below"))
    tell("below", [f.display_name for f in (await below.get()).value])

    found, pages, link = await delta(client, "inbox")
    tell("inbox", {"messages": len(found), "pages": pages})
    mime = await user.messages.by_message_id(found[0].id).content.get()
    tell("mime", mime.decode().split("\r\n")[0])

    message = Message(
        subject="grüße",
        body=ItemBody(content_type=BodyType.Html, content="<p>hallo</p>"),
        from_=Recipient(email_address=EmailAddress(name="Bob", address="bob@example.com")),
        to_recipients=[Recipient(email_address=EmailAddress(address="ann@example.com"))],
        is_read=True,
        categories=["Red"],
        internet_message_id="<sdk@example.com>",
        single_value_extended_properties=[
            property("Integer 0x0E07", "4"),
            property("SystemTime 0x0E06", "2001-02-03T04:05:06Z"),
            property("SystemTime 0x0039", "2001-02-03T04:05:00Z"),
        ],
    )
    made = await user.mail_folders.by_mail_folder_id("inbox").messages.post(message)
    tell("draft", made.is_draft)
    tell("received", made.received_date_time.astimezone(datetime.timezone.utc).isoformat())
    one = user.messages.by_message_id(made.id)
    changed = await one.patch(Message(flag=FollowupFlag(flag_status=FollowupFlagStatus.Flagged), is_read=False))
    tell("flag", [changed.flag.flag_status.value, changed.is_read])
    await one.attachments.post(
        FileAttachment(odata_type="#microsoft.graph.fileAttachment", name="a.bin",
                       content_type="application/x-bin", content_bytes=b"\x00\x01\x02"))
    inner = Message(odata_type="#microsoft.graph.message", subject="inside")
    await one.attachments.post(
        ItemAttachment(odata_type="#microsoft.graph.itemAttachment", name="inside", item=inner))
    attachments = (await one.attachments.get()).value
    tell("attachments", [type(a).__name__ for a in attachments])
    tell("content", list(attachments[0].content_bytes))
    parameters = MessageItemRequestBuilder.MessageItemRequestBuilderGetQueryParameters
    expand = ["singleValueExtendedProperties($filter=id eq 'Integer 0x0E07')"]
    read = await one.get(configured(parameters, select=["subject"], expand=expand))
    tell("property", [read.subject, read.single_value_extended_properties[0].value])

    again = await user.mail_folders.by_mail_folder_id("inbox").messages.delta.with_url(link).get()
    tell("changes", [m.subject for m in again.value])
    moved = await one.move.post(MovePostRequestBody(destination_id="junkemail"))
    try:
        await one.get()
    except ODataError as error:
        tell("gone", [error.response_status_code, error.error.code])
    await user.messages.by_message_id(moved.id).permanent_delete.post()
    gone = await user.mail_folders.by_mail_folder_id("inbox").messages.delta.with_url(again.odata_delta_link).get()
    tell("removed", [m.additional_data["@removed"]["reason"] for m in gone.value])


asyncio.run(main())
