//! The order of elements, on which Exchange insists (Exchange2013_SP1).

use crate::xml::Element;

/// What all items may hold, in this order; what a kind of item adds follows it.
const ITEM: &[&str] = &[
    "t:MimeContent",
    "t:ItemId",
    "t:ParentFolderId",
    "t:ItemClass",
    "t:Subject",
    "t:Sensitivity",
    "t:Body",
    "t:Attachments",
    "t:DateTimeReceived",
    "t:Size",
    "t:Categories",
    "t:Importance",
    "t:InReplyTo",
    "t:IsSubmitted",
    "t:IsDraft",
    "t:IsFromMe",
    "t:IsResend",
    "t:IsUnmodified",
    "t:InternetMessageHeaders",
    "t:DateTimeSent",
    "t:DateTimeCreated",
    "t:ResponseObjects",
    "t:ReminderDueBy",
    "t:ReminderIsSet",
    "t:ReminderNextTime",
    "t:ReminderMinutesBeforeStart",
    "t:DisplayCc",
    "t:DisplayTo",
    "t:HasAttachments",
    "t:ExtendedProperty",
    "t:Culture",
    "t:EffectiveRights",
    "t:LastModifiedName",
    "t:LastModifiedTime",
    "t:IsAssociated",
    "t:WebClientReadFormQueryString",
    "t:WebClientEditFormQueryString",
    "t:ConversationId",
    "t:UniqueBody",
    "t:Flag",
    "t:StoreEntryId",
    "t:InstanceKey",
    "t:NormalizedBody",
    "t:EntityExtractionResult",
    "t:PolicyTag",
    "t:ArchiveTag",
    "t:RetentionDate",
    "t:Preview",
    "t:RightsManagementLicenseData",
    "t:PredictedActionReasons",
    "t:IsClutter",
    "t:BlockStatus",
    "t:HasBlockedImages",
    "t:TextBody",
    "t:IconIndex",
];

/// What kinds of items add, folders hold, and operations hold.
const ORDERS: &[(&str, &[&str])] = &[
    (
        "t:Message",
        &[
            "t:Sender",
            "t:ToRecipients",
            "t:CcRecipients",
            "t:BccRecipients",
            "t:IsReadReceiptRequested",
            "t:IsDeliveryReceiptRequested",
            "t:ConversationIndex",
            "t:ConversationTopic",
            "t:From",
            "t:InternetMessageId",
            "t:IsRead",
            "t:IsResponseRequested",
            "t:References",
            "t:ReplyTo",
            "t:ReceivedBy",
            "t:ReceivedRepresenting",
            "t:ApprovalRequestData",
            "t:VotingInformation",
            "t:ReminderMessageData",
        ],
    ),
    (
        "t:CalendarItem",
        &[
            "t:UID",
            "t:RecurrenceId",
            "t:DateTimeStamp",
            "t:Start",
            "t:End",
            "t:OriginalStart",
            "t:IsAllDayEvent",
            "t:LegacyFreeBusyStatus",
            "t:Location",
            "t:When",
            "t:IsMeeting",
            "t:IsCancelled",
            "t:IsRecurring",
            "t:MeetingRequestWasSent",
            "t:IsResponseRequested",
            "t:CalendarItemType",
            "t:MyResponseType",
            "t:Organizer",
            "t:RequiredAttendees",
            "t:OptionalAttendees",
            "t:Resources",
            "t:ConflictingMeetingCount",
            "t:AdjacentMeetingCount",
            "t:ConflictingMeetings",
            "t:AdjacentMeetings",
            "t:Duration",
            "t:TimeZone",
            "t:AppointmentReplyTime",
            "t:AppointmentSequenceNumber",
            "t:AppointmentState",
            "t:Recurrence",
            "t:FirstOccurrence",
            "t:LastOccurrence",
            "t:ModifiedOccurrences",
            "t:DeletedOccurrences",
            "t:MeetingTimeZone",
            "t:StartTimeZone",
            "t:EndTimeZone",
            "t:ConferenceType",
            "t:AllowNewTimeProposal",
            "t:IsOnlineMeeting",
            "t:MeetingWorkspaceUrl",
            "t:NetShowUrl",
            "t:EnhancedLocation",
            "t:StartWallClock",
            "t:EndWallClock",
            "t:StartTimeZoneId",
            "t:EndTimeZoneId",
            "t:IntendedFreeBusyStatus",
            "t:JoinOnlineMeetingUrl",
            "t:OnlineMeetingSettings",
            "t:IsOrganizer",
        ],
    ),
    (
        "t:Contact",
        &[
            "t:FileAs",
            "t:FileAsMapping",
            "t:DisplayName",
            "t:GivenName",
            "t:Initials",
            "t:MiddleName",
            "t:Nickname",
            "t:CompleteName",
            "t:CompanyName",
            "t:EmailAddresses",
            "t:PhysicalAddresses",
            "t:PhoneNumbers",
            "t:AssistantName",
            "t:Birthday",
            "t:BusinessHomePage",
            "t:Children",
            "t:Companies",
            "t:ContactSource",
            "t:Department",
            "t:Generation",
            "t:ImAddresses",
            "t:JobTitle",
            "t:Manager",
            "t:Mileage",
            "t:OfficeLocation",
            "t:PostalAddressIndex",
            "t:Profession",
            "t:SpouseName",
            "t:Surname",
            "t:WeddingAnniversary",
            "t:HasPicture",
            "t:PhoneticFullName",
            "t:PhoneticFirstName",
            "t:PhoneticLastName",
            "t:Alias",
            "t:Notes",
            "t:Photo",
            "t:UserSMIMECertificate",
            "t:MSExchangeCertificate",
            "t:DirectoryId",
            "t:ManagerMailbox",
            "t:DirectReports",
        ],
    ),
    (
        "t:Task",
        &[
            "t:ActualWork",
            "t:AssignedTime",
            "t:BillingInformation",
            "t:ChangeCount",
            "t:Companies",
            "t:CompleteDate",
            "t:Contacts",
            "t:DelegationState",
            "t:Delegator",
            "t:DueDate",
            "t:IsAssignmentEditable",
            "t:IsComplete",
            "t:IsRecurring",
            "t:IsTeamTask",
            "t:Mileage",
            "t:Owner",
            "t:PercentComplete",
            "t:Recurrence",
            "t:StartDate",
            "t:Status",
            "t:StatusDescription",
            "t:TotalWork",
        ],
    ),
    (
        "t:PostItem",
        &[
            "t:ConversationIndex",
            "t:ConversationTopic",
            "t:From",
            "t:InternetMessageId",
            "t:IsRead",
            "t:PostedTime",
            "t:References",
            "t:Sender",
        ],
    ),
    ("t:Item", &[]),
    (
        "t:Folder",
        &[
            "t:FolderId",
            "t:ParentFolderId",
            "t:FolderClass",
            "t:DisplayName",
            "t:TotalCount",
            "t:ChildFolderCount",
            "t:ExtendedProperty",
            "t:ManagedFolderInformation",
            "t:EffectiveRights",
            "t:DistinguishedFolderId",
            "t:PolicyTag",
            "t:ArchiveTag",
            "t:PermissionSet",
            "t:UnreadCount",
        ],
    ),
    (
        "t:CalendarFolder",
        &[
            "t:FolderId",
            "t:ParentFolderId",
            "t:FolderClass",
            "t:DisplayName",
            "t:TotalCount",
            "t:ChildFolderCount",
            "t:ExtendedProperty",
            "t:ManagedFolderInformation",
            "t:EffectiveRights",
            "t:DistinguishedFolderId",
            "t:PolicyTag",
            "t:ArchiveTag",
            "t:SharingEffectiveRights",
            "t:PermissionSet",
        ],
    ),
    (
        "t:ContactsFolder",
        &[
            "t:FolderId",
            "t:ParentFolderId",
            "t:FolderClass",
            "t:DisplayName",
            "t:TotalCount",
            "t:ChildFolderCount",
            "t:ExtendedProperty",
            "t:ManagedFolderInformation",
            "t:EffectiveRights",
            "t:DistinguishedFolderId",
            "t:PolicyTag",
            "t:ArchiveTag",
            "t:SharingEffectiveRights",
            "t:PermissionSet",
        ],
    ),
    (
        "t:TasksFolder",
        &[
            "t:FolderId",
            "t:ParentFolderId",
            "t:FolderClass",
            "t:DisplayName",
            "t:TotalCount",
            "t:ChildFolderCount",
            "t:ExtendedProperty",
            "t:ManagedFolderInformation",
            "t:EffectiveRights",
            "t:DistinguishedFolderId",
            "t:PolicyTag",
            "t:ArchiveTag",
            "t:PermissionSet",
            "t:UnreadCount",
        ],
    ),
    (
        "m:FindFolder",
        &[
            "m:FolderShape",
            "m:IndexedPageFolderView",
            "m:FractionalPageFolderView",
            "m:Restriction",
            "m:ParentFolderIds",
        ],
    ),
    (
        "m:FindItem",
        &[
            "m:ItemShape",
            "m:IndexedPageItemView",
            "m:FractionalPageItemView",
            "m:SeekToConditionPageItemView",
            "m:CalendarView",
            "m:ContactsView",
            "m:GroupBy",
            "m:DistinguishedGroupBy",
            "m:Restriction",
            "m:SortOrder",
            "m:ParentFolderIds",
            "m:QueryString",
        ],
    ),
    ("m:GetFolder", &["m:FolderShape", "m:FolderIds"]),
    ("m:GetItem", &["m:ItemShape", "m:ItemIds"]),
    ("m:CreateItem", &["m:SavedItemFolderId", "m:Items"]),
    ("m:UpdateItem", &["m:SavedItemFolderId", "m:ItemChanges"]),
    (
        "m:MoveItem",
        &["m:ToFolderId", "m:ItemIds", "m:ReturnNewItemIds"],
    ),
    (
        "m:CopyItem",
        &["m:ToFolderId", "m:ItemIds", "m:ReturnNewItemIds"],
    ),
    ("m:DeleteItem", &["m:ItemIds"]),
    ("m:CreateFolder", &["m:ParentFolderId", "m:Folders"]),
    (
        "m:SyncFolderItems",
        &[
            "m:ItemShape",
            "m:SyncFolderId",
            "m:SyncState",
            "m:Ignore",
            "m:MaxChangesReturned",
            "m:SyncScope",
        ],
    ),
    (
        "m:SyncFolderHierarchy",
        &["m:FolderShape", "m:SyncFolderId", "m:SyncState"],
    ),
    ("m:ConvertId", &["m:SourceIds"]),
    (
        "m:GetMailTips",
        &["m:SendingAs", "m:Recipients", "m:MailTipsRequested"],
    ),
    ("m:ExportItems", &["m:ItemIds"]),
    ("m:UploadItems", &["m:Items"]),
    ("m:DeleteFolder", &["m:FolderIds"]),
    ("m:UpdateFolder", &["m:FolderChanges"]),
    ("m:MoveFolder", &["m:ToFolderId", "m:FolderIds"]),
    ("m:EmptyFolder", &["m:FolderIds"]),
    (
        "t:ExtendedProperty",
        &["t:ExtendedFieldURI", "t:Value", "t:Values"],
    ),
    (
        "t:Flag",
        &["t:FlagStatus", "t:StartDate", "t:DueDate", "t:CompleteDate"],
    ),
    (
        "m:ItemShape",
        &[
            "t:BaseShape",
            "t:IncludeMimeContent",
            "t:BodyType",
            "t:UniqueBodyType",
            "t:NormalizedBodyType",
            "t:FilterHtmlContent",
            "t:ConvertHtmlCodePageToUTF8",
            "t:InlineImageUrlTemplate",
            "t:BlockExternalImages",
            "t:AddBlankTargetToLinks",
            "t:MaximumBodySize",
            "t:AdditionalProperties",
        ],
    ),
    ("m:FolderShape", &["t:BaseShape", "t:AdditionalProperties"]),
    (
        "t:ItemChange",
        &[
            "t:ItemId",
            "t:OccurrenceItemId",
            "t:RecurringMasterItemId",
            "t:Updates",
        ],
    ),
];

const UPLOAD: &[&str] = &["t:ParentFolderId", "t:ItemId", "t:Data"];

/// What must be there.
const NEEDED: &[(&str, &[&str])] = &[
    ("m:FindFolder", &["m:FolderShape", "m:ParentFolderIds"]),
    ("m:FindItem", &["m:ItemShape", "m:ParentFolderIds"]),
    ("m:GetFolder", &["m:FolderShape", "m:FolderIds"]),
    ("m:GetItem", &["m:ItemShape", "m:ItemIds"]),
    ("m:CreateItem", &["m:Items"]),
    ("m:UpdateItem", &["m:ItemChanges"]),
    ("m:MoveItem", &["m:ToFolderId", "m:ItemIds"]),
    ("m:CopyItem", &["m:ToFolderId", "m:ItemIds"]),
    ("m:DeleteItem", &["m:ItemIds"]),
    ("m:CreateFolder", &["m:ParentFolderId", "m:Folders"]),
    (
        "m:SyncFolderItems",
        &["m:ItemShape", "m:SyncFolderId", "m:MaxChangesReturned"],
    ),
    ("m:ExportItems", &["m:ItemIds"]),
    ("m:UploadItems", &["m:Items"]),
    ("t:ExtendedProperty", &["t:ExtendedFieldURI"]),
    ("m:ItemShape", &["t:BaseShape"]),
    ("m:FolderShape", &["t:BaseShape"]),
];

/// What is wrong with the order of an operation's elements, or with a number in it.
pub(crate) fn check(element: &Element) -> Result<(), String> {
    let upload = element.name == "t:Item" && element.get("CreateAction").is_some();
    if upload {
        in_order(element, &[UPLOAD])?;
    } else if let Some((name, own)) = ORDERS.iter().find(|(name, _)| *name == element.name) {
        let item = matches!(
            *name,
            "t:Message" | "t:CalendarItem" | "t:Contact" | "t:Task" | "t:PostItem" | "t:Item"
        );
        in_order(element, &[if item { ITEM } else { &[] }, own])?;
    }
    for (_, needed) in NEEDED.iter().filter(|(name, _)| *name == element.name) {
        if let Some(name) = needed.iter().find(|name| element.child(name).is_none()) {
            return Err(format!("{} lacks {name}", element.name));
        }
    }
    if element.name == "m:MaxChangesReturned" {
        let number = element.text.parse::<u32>();
        if !number.is_ok_and(|n| (1..=512).contains(&n)) {
            return Err("MaxChangesReturned is not within 1 and 512".to_owned());
        }
    }
    let lists = [
        "m:Items",
        "m:ItemIds",
        "m:FolderIds",
        "m:Folders",
        "t:Categories",
        "t:Values",
    ];
    if lists.contains(&element.name.as_ref()) && element.children.is_empty() {
        return Err(format!("{} is empty", element.name));
    }
    element.children.iter().try_for_each(check)
}

/// Whether something in it is unknown to Exchange 2010.
pub(crate) fn is_newer(element: &Element) -> bool {
    element.name == "t:Flag"
        || element.get("FieldURI") == Some("item:Flag")
        || element.children.iter().any(is_newer)
}

fn in_order(element: &Element, lists: &[&[&str]]) -> Result<(), String> {
    let names = lists.concat();
    let mut least = 0;
    for child in &element.children {
        let place = names.iter().position(|name| *name == child.name);
        let Some(place) = place else {
            return Err(format!(
                "{} in {} is not expected",
                child.name, element.name
            ));
        };
        if place < least {
            return Err(format!(
                "{} in {} stands too late",
                child.name, element.name
            ));
        }
        // Only this one may come again.
        least = place + usize::from(child.name != "t:ExtendedProperty");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::{el, text};

    #[test]
    fn order_is_significant() {
        let property = || el("t:ExtendedProperty").with(el("t:ExtendedFieldURI"));
        let good = el("t:Message")
            .with(text("t:MimeContent", ""))
            .with(property())
            .with(property())
            .with(text("t:IsRead", "true"));
        assert_eq!(check(&good), Ok(()));
        let bad = el("t:Message")
            .with(text("t:IsRead", "true"))
            .with(property());
        assert!(check(&bad).is_err());
        assert!(check(&el("t:Message").with(el("t:Nonsense"))).is_err());
        assert!(check(&text("m:MaxChangesReturned", "513")).is_err());
    }
}
