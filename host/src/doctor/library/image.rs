//! What a shared library says it needs, read from its own tables: nothing of it runs. A file is believed no further than
//! it reaches, and only so much of it is read as [`TABLE_LIMIT`] and [`IMPORT_LIMIT`] allow.

use object::endian::Endianness;
use object::macho::{MachHeader32, MachHeader64};
use object::read::elf::{Dyn as _, FileHeader, ProgramHeader};
use object::read::macho::{FatArch as _, MachHeader, MachOFatFile32, MachOFatFile64};
use object::read::pe::{ImageNtHeaders, PeFile};
use object::read::{FileKind, ReadCache, ReadRef};
use object::{elf, pe};
use std::fs::File;
use std::path::Path;

/// Bytes of one table.
const TABLE_LIMIT: u64 = 16 << 20;
/// Names that one library may need.
const IMPORT_LIMIT: usize = 1024;
/// Bytes of a name or a search path.
const NAME_LIMIT: u64 = 4096;
/// Bytes of a file of a kind whose sections are read whole.
const TABLES_INSIDE_LIMIT: u64 = 1 << 30;

/// A library's own words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) kind: Option<Kind>,
    /// Names of the libraries it needs.
    pub(super) needed: Vec<String>,
    /// ELF's `DT_RPATH`: for it and for all that it loads.
    pub(super) rpath: Vec<String>,
    /// ELF's `DT_RUNPATH`: for it alone, and in place of `rpath`.
    pub(super) runpath: Vec<String>,
}

/// Which loader takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// With its class and machine: a loader passes over libraries of another.
    Elf(u8, u16),
    MachO,
    Pe,
}

/// Reads what the library at `path` needs.
///
/// # Errors
/// One line: it cannot be read, is no library, or is damaged.
pub(super) fn read(path: &Path) -> Result<Image, String> {
    // Opening a pipe is no mistake to the system, but it may never end.
    if !path.metadata().map_err(|error| error.to_string())?.is_file() {
        return Err("it is no regular file".into());
    }
    let file = File::open(path).map_err(|error| error.to_string())?;
    let cache = ReadCache::new(file);
    let data = &cache;
    let kind = FileKind::parse(data).map_err(|_| "it is no shared library".to_string())?;
    match kind {
        _ if data.len().is_ok_and(|length| length > TABLES_INSIDE_LIMIT) && !is_elf(kind) => {
            Err("it is too large to look into".into())
        }
        FileKind::Elf32 => read_elf::<elf::FileHeader32<Endianness>, _>(data),
        FileKind::Elf64 => read_elf::<elf::FileHeader64<Endianness>, _>(data),
        FileKind::MachO32 => read_mach_o::<MachHeader32<Endianness>, _>(data, 0),
        FileKind::MachO64 => read_mach_o::<MachHeader64<Endianness>, _>(data, 0),
        FileKind::MachOFat32 | FileKind::MachOFat64 => read_fat(data, kind),
        FileKind::Pe32 => read_pe::<pe::ImageNtHeaders32, _>(data),
        FileKind::Pe64 => read_pe::<pe::ImageNtHeaders64, _>(data),
        _ => Err("it is an object file or an archive, no shared library".into()),
    }
}

fn is_elf(kind: FileKind) -> bool {
    matches!(kind, FileKind::Elf32 | FileKind::Elf64)
}

fn damaged(error: impl std::fmt::Display) -> String {
    format!("its tables are damaged or cut short ({error})")
}

fn read_elf<'data, H, R>(data: R) -> Result<Image, String>
where
    H: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let header = H::parse(data).map_err(damaged)?;
    let endian = header.endian().map_err(damaged)?;
    let class = if header.is_class_64() { 64 } else { 32 };
    let kind = Some(Kind::Elf(class, header.e_machine(endian).0));
    // The count of more is in a table whose size is not bounded; no library has so many.
    if header.e_phnum(endian) == u16::MAX {
        return Err(damaged("it claims more segments than a library has"));
    }
    let segments = header.program_headers(endian, data).map_err(damaged)?;
    whole(segments, endian, data.len().unwrap_or(0))?;
    let Some(dynamic) = segments.iter().find(|segment| segment.p_type(endian) == elf::PT_DYNAMIC) else {
        return Ok(Image { kind, ..Image::default() });
    };
    if dynamic.p_filesz(endian).into() > TABLE_LIMIT {
        return Err(damaged("its dynamic section is too large"));
    }
    let entries = dynamic.dynamic(endian, data).map_err(damaged)?.unwrap_or_default();
    let entries: Vec<_> = entries.iter().map(|entry| (entry.tag(endian), entry.val(endian))).collect();
    let entries = entries.split(|(tag, _)| *tag == elf::DT_NULL).next().unwrap_or_default();
    let value = |wanted| entries.iter().find(|(tag, _)| *tag == wanted).map(|(_, value)| *value);
    let strings = value(elf::DT_STRTAB).and_then(|address| offset_of(segments, endian, address));
    let names = |wanted| -> Result<Vec<String>, String> {
        let offsets = entries.iter().filter(|(tag, _)| *tag == wanted).take(IMPORT_LIMIT);
        offsets.map(|(_, offset)| string(data, strings, *offset)).collect()
    };
    let folders = |wanted| Ok::<_, String>(names(wanted)?.iter().flat_map(|list| split(list)).collect());
    Ok(Image {
        kind,
        needed: names(elf::DT_NEEDED)?,
        rpath: folders(elf::DT_RPATH)?,
        runpath: folders(elf::DT_RUNPATH)?,
    })
}

/// Where in the file what is loaded to `address` lies.
fn offset_of<P: ProgramHeader<Endian = Endianness>>(
    segments: &[P],
    endian: Endianness,
    address: u64,
) -> Option<u64> {
    let loaded = segments.iter().filter(|segment| segment.p_type(endian) == elf::PT_LOAD);
    loaded.into_iter().find_map(|segment| {
        let (start, size) = (segment.p_vaddr(endian).into(), segment.p_filesz(endian).into());
        let within = address.checked_sub(start).filter(|within| *within < size)?;
        segment.p_offset(endian).into().checked_add(within)
    })
}

/// The loader maps what is not there, and the first to touch it dies.
fn whole<P: ProgramHeader<Endian = Endianness>>(
    segments: &[P],
    endian: Endianness,
    length: u64,
) -> Result<(), String> {
    let loaded = segments.iter().filter(|segment| segment.p_type(endian) == elf::PT_LOAD);
    let ends = loaded.map(|s| s.p_offset(endian).into().saturating_add(s.p_filesz(endian).into()));
    match ends.max().filter(|end| *end > length) {
        None => Ok(()),
        Some(end) => Err(format!("it is cut short: {length} bytes are there of {end} that are loaded")),
    }
}

/// The text at `offset` of the string table.
fn string<'data, R: ReadRef<'data>>(data: R, table: Option<u64>, offset: u64) -> Result<String, String> {
    let start =
        table.and_then(|table| table.checked_add(offset)).ok_or_else(|| damaged("no string table"))?;
    let end = data.len().map_or(0, |length| length.min(start.saturating_add(NAME_LIMIT)));
    let bytes = data.read_bytes_at_until(start..end, 0).map_err(|()| damaged("a name has no end"))?;
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

fn split(list: &str) -> Vec<String> {
    list.split(':').filter(|folder| !folder.is_empty()).map(str::to_string).collect()
}

/// The first of a file's architectures.
fn read_fat<'data, R: ReadRef<'data>>(data: R, kind: FileKind) -> Result<Image, String> {
    let first = if kind == FileKind::MachOFat64 {
        let file = MachOFatFile64::parse(data).map_err(damaged)?;
        file.arches().first().map(|part| (part.file_range().0, part.cputype().0))
    } else {
        let file = MachOFatFile32::parse(data).map_err(damaged)?;
        file.arches().first().map(|part| (part.file_range().0, part.cputype().0))
    };
    let (offset, cpu) = first.ok_or_else(|| damaged("no architecture in it"))?;
    if cpu & object::macho::CPU_ARCH_ABI64 != 0 {
        read_mach_o::<MachHeader64<Endianness>, _>(data, offset)
    } else {
        read_mach_o::<MachHeader32<Endianness>, _>(data, offset)
    }
}

fn read_mach_o<'data, H, R>(data: R, offset: u64) -> Result<Image, String>
where
    H: MachHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let header = H::parse(data, offset).map_err(damaged)?;
    let endian = header.endian().map_err(damaged)?;
    if u64::from(header.sizeofcmds(endian)) > TABLE_LIMIT {
        return Err(damaged("its load commands are too large"));
    }
    let mut commands = header.load_commands(endian, data, offset).map_err(damaged)?;
    let mut needed = Vec::new();
    while let Some(command) = commands.next().map_err(damaged)? {
        let Some(library) = command.dylib().map_err(damaged)? else { continue };
        let name = command.string(endian, library.dylib.name).map_err(damaged)?;
        needed.push(String::from_utf8_lossy(name).into_owned());
        if needed.len() == IMPORT_LIMIT {
            break;
        }
    }
    Ok(Image { kind: Some(Kind::MachO), needed, ..Image::default() })
}

fn read_pe<'data, H: ImageNtHeaders, R: ReadRef<'data>>(data: R) -> Result<Image, String> {
    let file = PeFile::<H, R>::parse(data).map_err(damaged)?;
    let mut needed = Vec::new();
    if let Some(table) = file.import_table().map_err(damaged)? {
        let mut descriptors = table.descriptors().map_err(damaged)?;
        while let Some(of) = descriptors.next().map_err(damaged)? {
            let name = table.name(of.name.get(object::LittleEndian)).map_err(damaged)?;
            needed.push(String::from_utf8_lossy(name).into_owned());
            if needed.len() == IMPORT_LIMIT {
                break;
            }
        }
    }
    Ok(Image { kind: Some(Kind::Pe), needed, ..Image::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This very program, which needs the C library wherever it is linked against one.
    #[test]
    fn a_program_names_what_it_needs() {
        let image = read(&std::env::current_exe().unwrap()).unwrap();
        let expected = match image.kind.unwrap() {
            Kind::Elf(..) => "libc.so",
            Kind::MachO => "libSystem",
            Kind::Pe => "KERNEL32",
        };
        let has = |name: &String| name.to_lowercase().contains(&expected.to_lowercase());
        assert!(image.needed.iter().any(has), "{image:?}");
    }

    #[test]
    fn what_is_no_library_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.so");
        for (bytes, said) in [
            (&b""[..], "no shared library"),
            (b"\x7fEL", "no shared library"),
            (b"#!/bin/sh\necho no\n", "no shared library"),
            (b"\x7fELF\x02\x01\x01", "shared library"),
            (b"!<arch>\n", "shared library"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let error = read(&path).unwrap_err();
            assert!(error.contains(said) || error.contains("damaged"), "{bytes:?}: {error}");
        }
        assert!(read(folder.path()).unwrap_err().contains("regular file"));
        assert!(!read(&folder.path().join("absent")).unwrap_err().is_empty());
    }

    /// The head of this program, cut at every length up to it and with single bytes changed.
    #[test]
    fn cut_and_garbled_files_give_a_line_and_no_panic() {
        let whole = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let head = &whole[..whole.len().min(1024)];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.so");
        for length in (0..head.len()).step_by(7) {
            std::fs::write(&path, &head[..length]).unwrap();
            if let Err(error) = read(&path) {
                assert_eq!(error.lines().count(), 1, "{error}");
            }
        }
        for at in 0..head.len().min(256) {
            for value in [0, 0x7f, 0xff] {
                let mut bytes = head.to_vec();
                bytes[at] = value;
                std::fs::write(&path, &bytes).unwrap();
                let _ = read(&path);
            }
        }
    }
}
