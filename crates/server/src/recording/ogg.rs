//! One Ogg file of Opus (RFC 7845), written as the packets come.
//!
//! Packets are put at their places in time. What lies between is filled, so that every player keeps time: lost sound with
//! packets that have no frame, which a decoder conceals, and silence with packets of silence. A page is written each
//! second, so that a file whose writer was killed can be read up to the last one.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::sync::Arc;

use ogg::{PacketWriteEndInfo, PacketWriter};

/// Samples in a second of what granule positions count, whatever was encoded (RFC 7845 §4).
pub const RATE: u64 = 48_000;

/// Every Opus duration is a multiple of 2.5 ms.
const GRAIN: u64 = 120;

/// The longest frame without more than one in its packet: 20 ms.
const FRAME: u64 = 960;

/// A gap up to this is loss, which is concealed; a longer one is silence.
const LONGEST_LOSS: u64 = 5 * FRAME;

/// Samples on a page: a second.
const PAGE: u64 = RATE;

/// CELT in full band: 20, 10, 5 and 2.5 ms (RFC 6716 §3.1), in samples and as the first byte of a packet.
const FRAMES: [(u64, u8); 4] = [(960, 31 << 3), (480, 30 << 3), (240, 29 << 3), (120, 28 << 3)];

/// The bit of the first byte that says two channels.
const STEREO: u8 = 0x04;

/// What a CELT frame of digital silence consists of, after its first byte.
const SILENT_FRAME: [u8; 2] = [0xff, 0xfe];

/// Samples that a decoder throws away at the beginning: the delay of libopus's encoder for voice (6.5 ms), which clients
/// use, and that of ours in CELT (2.5 ms).
const VOICE_DELAY: u16 = 312;
pub const CELT_DELAY: u16 = 120;

/// Pages whose places are remembered: what is told of a file comes at most a second or two late.
const PAGES: usize = 8;

/// A file that is being written.
pub struct OpusFile {
    writer: PacketWriter<'static, Counted>,
    /// Where the last pages begin: samples and bytes. The last is the one that is being made.
    pages: VecDeque<(u64, u64)>,
    serial: u32,
    /// Samples written, the one that waits included.
    written: u64,
    /// Those on pages that are closed.
    paged: u64,
    /// The last packet: only when the next is there is it known that it does not end the file.
    waiting: Option<Vec<u8>>,
    stereo: bool,
}

impl OpusFile {
    /// Makes the file, whose first packet is to be `first`, and writes its two headers.
    pub fn create(path: &Path, serial: u32, first: &[u8], skip: Option<u16>) -> io::Result<Self> {
        let file = File::options().write(true).create_new(true).open(path)?;
        let stereo = first.first().is_some_and(|first| first & STEREO != 0);
        let skip = skip.unwrap_or(VOICE_DELAY);
        let mut writer = PacketWriter::new(Counted { file: BufWriter::new(file), bytes: 0 });
        writer.write_packet(head(stereo, skip), serial, PacketWriteEndInfo::EndPage, 0)?;
        writer.write_packet(tags(), serial, PacketWriteEndInfo::EndPage, 0)?;
        writer.inner_mut().flush()?;
        let pages = VecDeque::from([(0, writer.inner().bytes)]);
        Ok(Self { writer, pages, serial, written: 0, paged: 0, waiting: None, stereo })
    }

    /// Samples in the file so far.
    #[cfg(test)]
    fn written(&self) -> u64 {
        self.written
    }

    /// Where in the file, in bytes, a page begins that is at this place or before: what a reader seeks to.
    pub fn page_at(&self, place: u64) -> u64 {
        let page = self.pages.iter().rev().find(|(begins, _)| *begins <= place).or(self.pages.front());
        page.map_or(0, |(_, byte)| *byte)
    }

    /// Fills the file with silence, or with loss if it is short, up to this place.
    pub fn fill_to(&mut self, place: u64) -> io::Result<()> {
        let mut gap = place.saturating_sub(self.written) / GRAIN * GRAIN;
        let lost = gap <= LONGEST_LOSS;
        while gap > 0 {
            let Some((samples, first)) = FRAMES.into_iter().find(|(samples, _)| *samples <= gap) else {
                break;
            };
            let mut packet = vec![first | if self.stereo { STEREO } else { 0 }];
            if !lost {
                packet.extend(SILENT_FRAME);
            }
            self.append(packet, samples)?;
            gap -= samples;
        }
        Ok(())
    }

    /// Writes a packet of so many samples, which begins at `place`.
    pub fn write(&mut self, place: u64, payload: &Arc<[u8]>, samples: u32) -> io::Result<()> {
        self.fill_to(place)?;
        self.append(payload.to_vec(), samples.into())
    }

    fn append(&mut self, packet: Vec<u8>, samples: u64) -> io::Result<()> {
        if let Some(before) = self.waiting.replace(packet) {
            let ends_page = self.written - self.paged >= PAGE;
            let info = if ends_page { PacketWriteEndInfo::EndPage } else { PacketWriteEndInfo::NormalPacket };
            self.writer.write_packet(before, self.serial, info, self.written)?;
            if ends_page {
                self.paged = self.written;
                self.writer.inner_mut().flush()?;
                if self.pages.len() >= PAGES {
                    self.pages.pop_front();
                }
                self.pages.push_back((self.written, self.writer.inner().bytes));
            }
        }
        self.written += samples;
        Ok(())
    }

    /// Writes what waits and closes the file.
    pub fn finish(mut self) -> io::Result<()> {
        // A stream must have a packet that ends it.
        let last = match self.waiting.take() {
            Some(last) => last,
            None => {
                self.written += FRAME;
                vec![FRAMES[0].1, SILENT_FRAME[0], SILENT_FRAME[1]]
            }
        };
        self.writer.write_packet(last, self.serial, PacketWriteEndInfo::EndStream, self.written)?;
        self.writer.inner_mut().flush()?;
        self.writer.inner_mut().file.get_ref().sync_all()
    }
}

/// Counts what goes into a file.
#[derive(Debug)]
struct Counted {
    file: BufWriter<File>,
    bytes: u64,
}

impl io::Write for Counted {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let count = self.file.write(data)?;
        self.bytes += u64::try_from(count).unwrap_or(u64::MAX);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The identification header (RFC 7845 §5.1).
fn head(stereo: bool, skip: u16) -> Vec<u8> {
    let mut head = b"OpusHead\x01".to_vec();
    head.push(if stereo { 2 } else { 1 });
    head.extend(skip.to_le_bytes());
    head.extend(48_000_u32.to_le_bytes());
    // No gain, and channels as they are.
    head.extend([0, 0, 0]);
    head
}

/// The comment header (RFC 7845 §5.2), without comments.
fn tags() -> Vec<u8> {
    const VENDOR: &[u8; 9] = b"campanile";
    let mut tags = b"OpusTags".to_vec();
    tags.extend(9_u32.to_le_bytes());
    tags.extend(VENDOR);
    tags.extend(0_u32.to_le_bytes());
    tags
}

impl std::fmt::Debug for OpusFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpusFile").field("serial", &self.serial).field("written", &self.written).finish()
    }
}

#[cfg(test)]
mod tests {
    use ogg::PacketReader;

    use super::*;

    /// All packets of a file, each with the granule position of its page, and whether the stream was ended.
    fn read(path: &Path) -> (Vec<(Vec<u8>, u64)>, bool) {
        let mut reader = PacketReader::new(File::open(path).unwrap());
        let mut packets = Vec::new();
        let mut ended = false;
        while let Ok(Some(packet)) = reader.read_packet() {
            ended |= packet.last_in_stream();
            packets.push((packet.data.clone(), packet.absgp_page()));
        }
        (packets, ended)
    }

    fn sound() -> Arc<[u8]> {
        Arc::from([0xf8, 1, 2, 3])
    }

    #[test]
    fn packets_stand_at_their_places_and_gaps_are_filled() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.opus");
        let mut file = OpusFile::create(&path, 7, &sound(), None).unwrap();
        file.write(0, &sound(), 960).unwrap();
        // 30 ms are lost, then a second is silent.
        file.write(960 + 1_440, &sound(), 960).unwrap();
        file.write(960 + 1_440 + 960 + RATE, &sound(), 960).unwrap();
        assert_eq!(file.written(), 960 + 1_440 + 960 + RATE + 960);
        file.finish().unwrap();
        let (packets, ended) = read(&path);
        assert!(ended);
        let lengths: Vec<usize> = packets.iter().skip(2).map(|(data, _)| data.len()).collect();
        assert_eq!(&lengths[..5], [4, 1, 1, 4, 3]);
        assert_eq!(lengths.len(), 1 + 2 + 1 + 50 + 1);
        assert_eq!(packets[3].0, [31 << 3]);
        assert_eq!(packets[4].0, [30 << 3], "10 ms");
        assert_eq!(packets.last().unwrap().1, 960 + 1_440 + 960 + RATE + 960);
    }

    #[test]
    fn pages_are_found_by_their_places() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.opus");
        let mut file = OpusFile::create(&path, 7, &sound(), None).unwrap();
        let places = [RATE / 2, 5 * RATE / 2, 9 * RATE / 2];
        let mut found = Vec::new();
        for at in 0..500 {
            file.write(at * 960, &sound(), 960).unwrap();
            if at % 50 == 49 && found.len() < places.len() {
                // Late by up to two seconds.
                let known = places.iter().filter(|place| (**place) + RATE < file.written()).count();
                found.extend(
                    places[found.len()..known.max(found.len())].iter().map(|place| file.page_at(*place)),
                );
            }
        }
        let long_ago = file.page_at(0);
        file.finish().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for (place, byte) in places.into_iter().zip(found) {
            let page = &bytes[usize::try_from(byte).unwrap()..];
            assert_eq!(&page[..4], b"OggS");
            let ends = u64::from_le_bytes(page[6..14].try_into().unwrap());
            assert!((ends - RATE..=ends).contains(&place), "{place} is not on the page that ends at {ends}");
        }
        assert_eq!(&bytes[usize::try_from(long_ago).unwrap()..][..4], b"OggS");
    }

    #[test]
    fn what_was_written_before_a_kill_can_be_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.opus");
        let mut file = OpusFile::create(&path, 7, &sound(), None).unwrap();
        for at in 0..225 {
            file.write(at * 960, &sound(), 960).unwrap();
        }
        // As if the process had been killed now: nothing is flushed.
        std::mem::forget(file);
        let (packets, ended) = read(&path);
        assert!(!ended);
        assert!((2 + 200..2 + 225).contains(&packets.len()), "{}", packets.len());
    }

    #[test]
    fn an_empty_file_is_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.opus");
        OpusFile::create(&path, 7, &sound(), Some(CELT_DELAY)).unwrap().finish().unwrap();
        let (packets, ended) = read(&path);
        assert!(ended && packets.len() == 3);
        assert!(OpusFile::create(&path, 7, &sound(), None).is_err(), "what is there is not overwritten");
    }

    #[test]
    fn places_that_go_back_lose_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = OpusFile::create(&directory.path().join("a.opus"), 7, &sound(), None).unwrap();
        file.write(960, &sound(), 960).unwrap();
        file.write(900, &sound(), 960).unwrap();
        file.write(2 * 960 + 50, &sound(), 960).unwrap();
        assert_eq!(file.written(), 4 * 960);
    }
}
