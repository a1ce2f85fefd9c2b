//! What a listing asks for, and where.

use mailmove_core::{error::Result, identity::HEADER_FIELDS};

use super::{AHEAD, Listing, Window};
use crate::{
    pool::Lease,
    session::{self, Mode, Session},
    source::{delta, labels},
    wire::{Command, FetchItem, FetchParams, FieldName, UidRange, UidSet},
};

impl Listing {
    /// A connection that has the folder open, since the windows before if possible.
    pub(super) async fn reopen(&mut self) -> Result<Lease> {
        let folder = &self.request.folder;
        let mut lease = self.pool.lease(Some(folder)).await?;
        let identity = &self.request.identity;
        let opened = lease.enter_same(folder, Mode::Read, identity).await?;
        if opened.view == self.view {
            return Ok(lease);
        }
        // Another opening has other numbers.
        self.view = opened.view;
        self.count.reopened(opened.exists);
        if let Some(end) = delta::uid_next(&mut lease, &opened).await? {
            // What came meanwhile is part of what the server counts now.
            self.windows.extend(end);
        }
        Ok(lease)
    }

    pub(super) async fn send_ahead(&mut self, session: &mut Session) -> Result<()> {
        let ahead = if self.streams() { AHEAD } else { 1 };
        while self.in_flight.len() < ahead {
            if self.count.is_through() {
                self.windows.stop();
            }
            let fresh = self.begun.fresh;
            let borders = self.broken.borders().chain([fresh]);
            let Some(range) = self.windows.take(borders) else {
                break;
            };
            // Messages before the cursor are known: nobody needs their contents.
            let known = range.start() < fresh;
            let contents = self.streams() && !known && !self.broken.covers(range);
            self.ask(session, range, contents).await?;
        }
        Ok(())
    }

    pub(super) async fn ask(
        &mut self,
        session: &mut Session,
        range: UidRange,
        contents: bool,
    ) -> Result<()> {
        let (window, command) = self.window(session, range, contents)?;
        session.connection.send(command).await?;
        self.in_flight.push_back(window);
        Ok(())
    }

    pub(super) fn window(
        &self,
        session: &mut Session,
        range: UidRange,
        contents: bool,
    ) -> Result<(Window, Command)> {
        let mut items = vec![
            FetchItem::Uid,
            FetchItem::Flags,
            FetchItem::InternalDate,
            FetchItem::Size,
        ];
        items.extend_from_slice(labels::items(session.can()));
        if contents {
            items.push(FetchItem::Body);
        } else if self.request.headers {
            let names = HEADER_FIELDS.iter();
            items.push(FetchItem::HeaderFields(
                names.filter_map(|name| FieldName::new(name).ok()).collect(),
            ));
        }
        let set = UidSet::range(range.start(), range.end()).unwrap_or_default();
        let tag = session.connection.tag();
        let encoder = session.connection.encoder();
        let command = encoder.uid_fetch(tag, &set, &items, FetchParams::default());
        let window = Window {
            tag,
            range,
            contents,
            found: 0,
        };
        Ok((window, command.map_err(session::encode)?))
    }
}
