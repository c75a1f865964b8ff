package disk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Pebble reads a log up to the first chunk that is no good and looks only into
// the blocks behind it whether the log went on. A bit that flips in the last
// 32 KiB, or one that makes a chunk look like the log's end, would so take away
// up to hundreds of acknowledged changes without a word. checkLogs finds these.
//
// A log consists of blocks of 32 KiB, a block of chunks, little endian:
//
//	crc u32 | length u16 | type u8 | log number u32 | synced u64 | payload
//
// The checksum begins at the type. synced is how much of the log was on the disk
// when the chunk was written, at least. A chunk that is no good at X had been
// written whole if a good one promises more than X, or if another record begins
// behind it, for the committer syncs each before it writes the next. Otherwise
// it is the torn end of the log.
const (
	logBlock       = 32 << 10
	logHeader      = 19
	logFirstType   = 9
	logLastType    = 12
	logFullType    = 9       // a whole record
	logBeginType   = 10      // the first part of one
	maxCheckedSize = 1 << 30 // a log is about as long as a memtable
)

// checkLogs returns a *DamageError if a log of the database is damaged.
func checkLogs(dir string, fs vfs.FS) error {
	names, err := fs.List(dir)
	if err != nil {
		return fmt.Errorf("list %s: %w", dir, err)
	}
	for _, name := range names {
		if !strings.HasSuffix(name, ".log") {
			continue
		}
		n, err := logNumber(name, fs)
		if err != nil {
			continue // no file of Pebble's
		}
		path := fs.PathJoin(dir, name)
		data, err := readFile(fs, path)
		if err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		if at, ok := checkLog(data, n); !ok {
			return &DamageError{File: path, Err: fmt.Errorf("malformed at byte %d of %d, which had been synced", at, len(data))}
		}
	}
	return nil
}

// logNumber reads the number, of which the chunks have the lower half, from the
// name of a log.
func logNumber(name string, fs vfs.FS) (uint32, error) {
	n, err := strconv.ParseUint(strings.TrimSuffix(fs.PathBase(name), ".log"), 10, 64)
	return uint32(n), err
}

func readFile(fs vfs.FS, name string) (data []byte, err error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if st, err := f.Stat(); err == nil {
		b.Grow(int(min(st.Size(), maxCheckedSize)) + bytes.MinRead)
	}
	_, err = b.ReadFrom(io.LimitReader(f, maxCheckedSize))
	data = b.Bytes()
	if closed := f.Close(); err == nil {
		err = closed
	}
	return data, err
}

// checkLog returns where a log stops being readable, and whether nothing that
// had been synced comes after.
func checkLog(data []byte, number uint32) (end int, ok bool) {
	for end < len(data) {
		if left := logBlock - end%logBlock; left < logHeader {
			end = min(end+left, len(data)) // zeros
			continue
		}
		length, _, ok := logChunk(data, end, number)
		if !ok {
			break
		}
		end += length
	}
	for at := end + 1; at+logHeader <= len(data); at++ {
		_, synced, ok := logChunk(data, at, number)
		if ok && (synced > uint64(end) || data[at+6] == logFullType || data[at+6] == logBeginType) {
			return end, false
		}
	}
	return end, true
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// logChunk reads the chunk at a place; ok means that it is whole and good.
func logChunk(data []byte, at int, number uint32) (length int, synced uint64, ok bool) {
	le := binary.LittleEndian
	if at+logHeader > len(data) || data[at+6] < logFirstType || data[at+6] > logLastType || le.Uint32(data[at+7:]) != number {
		return 0, 0, false
	}
	length = logHeader + int(le.Uint16(data[at+4:]))
	if at+length > len(data) || at%logBlock+length > logBlock {
		return 0, 0, false
	}
	sum := crc32.Checksum(data[at+6:at+length], castagnoli)
	// Rotated and shifted, as the format wants it.
	if (sum>>15|sum<<17)+0xa282ead8 != le.Uint32(data[at:]) {
		return 0, 0, false
	}
	return length, le.Uint64(data[at+11:]), true
}
