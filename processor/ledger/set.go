package ledger

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/bits"
	"strconv"
	"strings"
)

const (
	// Window is the number of offsets from the position on in which records may
	// be executed. A bitmap of that many offsets fits into a commit's metadata.
	Window = 20_000
	// MaxMetadata is the number of characters that a broker stores with a
	// committed offset (offset.metadata.max.bytes, 4,096 by default).
	MaxMetadata = 4096
	// MaxNonce is the longest nonce that leaves room for every set, and maxTopic the
	// longest topic.
	MaxNonce = 200
	maxTopic = 40

	prefix = "starplan2:"

	kindRuns   = 'r'
	kindBitmap = 'b'
)

// ErrForeign is returned for metadata that another program wrote, or none.
var ErrForeign = errors.New("ledger: metadata was not written by starplan")

// Note is what a commit's metadata says beside the set. Its texts hold no colon.
type Note struct {
	// Topic identifies the topic that the offset is of, by its id: another topic may
	// come under the same name. Empty for unknown; at most 40 bytes.
	Topic string
	// Since is when the group began on the topic, in milliseconds of Unix time; 0
	// for unknown.
	Since int64
	// Nonce is what its writer knows the commit by; at most [MaxNonce] bytes, or
	// empty.
	Nonce string
}

// Range is the offsets from From up to, but without, To.
type Range struct{ From, To int64 }

// Set is offsets that are done: ascending, neither empty nor touching ranges.
type Set []Range

// Contains reports whether offset is in the set.
func (s Set) Contains(offset int64) bool {
	for _, r := range s {
		if offset < r.To {
			return offset >= r.From
		}
	}
	return false
}

// Len is the number of offsets in the set.
func (s Set) Len() int64 {
	n := int64(0)
	for _, r := range s {
		n += r.To - r.From
	}
	return n
}

// add appends one offset, which is higher than all others in the set.
func (s Set) add(from, to int64) Set {
	if n := len(s); n > 0 && s[n-1].To == from {
		s[n-1].To = to
		return s
	}
	return append(s, Range{from, to})
}

// Encode writes a set of done offsets as the metadata of a commit of position:
// a prefix, the note, and the shorter of run lengths and bitmap in base64 with
// a checksum that covers the position. All offsets lie in the [Window] from
// position on. The result is at most [MaxMetadata] characters of ASCII, and empty
// where both note and set are.
func Encode(position int64, set Set, note Note) string {
	if len(set) == 0 && note == (Note{}) {
		return ""
	}
	since := ""
	if note.Since != 0 {
		since = strconv.FormatInt(note.Since, 36)
	}
	head := prefix + note.Topic + ":" + since + ":" + note.Nonce + ":"
	if len(set) == 0 {
		return head
	}
	body := runs(position, set)
	if n := 1 + int(set[len(set)-1].To-position+7)/8; n < len(body) {
		body = bitmap(position, set)
	}
	body = binary.BigEndian.AppendUint32(body, checksum(position, body))
	return head + base64.RawStdEncoding.EncodeToString(body)
}

func runs(position int64, set Set) []byte {
	body := []byte{kindRuns}
	at := position
	for _, r := range set {
		body = binary.AppendUvarint(body, uint64(r.From-at))
		body = binary.AppendUvarint(body, uint64(r.To-r.From))
		at = r.To
	}
	return body
}

func bitmap(position int64, set Set) []byte {
	body := make([]byte, 1+int(set[len(set)-1].To-position+7)/8)
	body[0] = kindBitmap
	for _, r := range set {
		for o := r.From - position; o < r.To-position; o++ {
			body[1+o/8] |= 1 << (o % 8)
		}
	}
	return body
}

// checksum ties a body to the position it was committed with. Somebody who
// resets the group's offsets with another tool, keeping the metadata, would
// otherwise make the next owner pass over records that were never answered.
func checksum(position int64, body []byte) uint32 {
	sum := crc32.ChecksumIEEE(binary.BigEndian.AppendUint64(nil, uint64(position)))
	return crc32.Update(sum, crc32.IEEETable, body)
}

// Decode reads the metadata of a commit of position. It gives [ErrForeign]
// where starplan did not write it, and another error where it is damaged or
// belongs to another position; in both cases the set is empty, which costs a
// repeated execution and loses nothing.
func Decode(position int64, metadata string) (set Set, note Note, err error) {
	rest, ok := strings.CutPrefix(metadata, prefix)
	if !ok {
		return nil, Note{}, ErrForeign
	}
	parts := strings.Split(rest, ":")
	if len(parts) != 4 {
		return nil, Note{}, fmt.Errorf("ledger: metadata: want 4 parts, got %d", len(parts))
	}
	note = Note{Topic: parts[0], Nonce: parts[2]}
	if parts[1] != "" {
		if note.Since, err = strconv.ParseInt(parts[1], 36, 64); err != nil {
			return nil, Note{}, fmt.Errorf("ledger: metadata: %w", err)
		}
	}
	set, err = decodeSet(position, parts[3])
	return set, note, err
}

func decodeSet(position int64, text string) (set Set, err error) {
	if text == "" {
		return nil, nil
	}
	body, err := base64.RawStdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("ledger: metadata: %w", err)
	}
	if len(body) < 5 {
		return nil, fmt.Errorf("ledger: metadata of %d bytes is cut short", len(body))
	}
	body, sum := body[:len(body)-4], binary.BigEndian.Uint32(body[len(body)-4:])
	if want := checksum(position, body); sum != want {
		return nil, fmt.Errorf("ledger: metadata does not belong to offset %d: checksum %08x, want %08x", position, sum, want)
	}
	switch body[0] {
	case kindRuns:
		return parseRuns(position, body[1:])
	case kindBitmap:
		return parseBitmap(position, body[1:])
	}
	return nil, fmt.Errorf("ledger: metadata of unknown kind %q", body[0])
}

func parseRuns(position int64, body []byte) (Set, error) {
	var set Set
	for at := uint64(0); len(body) > 0; {
		gap, n := binary.Uvarint(body)
		if n <= 0 {
			return nil, errors.New("ledger: metadata: bad run length")
		}
		run, m := binary.Uvarint(body[n:])
		if m <= 0 || run == 0 || gap > Window || run > Window || at+gap+run > Window {
			return nil, errors.New("ledger: metadata: bad run length")
		}
		set = set.add(position+int64(at+gap), position+int64(at+gap+run))
		at += gap + run
		body = body[n+m:]
	}
	return set, nil
}

func parseBitmap(position int64, body []byte) (Set, error) {
	if len(body)*8 > Window+7 {
		return nil, fmt.Errorf("ledger: metadata: bitmap of %d bytes exceeds the window", len(body))
	}
	var set Set
	for i, b := range body {
		for b != 0 {
			o := position + int64(i*8+bits.TrailingZeros8(b))
			set = set.add(o, o+1)
			b &= b - 1
		}
	}
	return set, nil
}
