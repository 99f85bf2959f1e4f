package check

import (
	"crypto/sha1" // The UUIDs of RFC 9562 version 5 are made of it.
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"
)

// namespace is the UUID 6f1d5a2e-3c57-5b0e-9a55-8c1f1f7e6a10.
var namespace = [16]byte{
	0x6f, 0x1d, 0x5a, 0x2e, 0x3c, 0x57, 0x5b, 0x0e,
	0x9a, 0x55, 0x8c, 0x1f, 0x1f, 0x7e, 0x6a, 0x10,
}

// ExecID is the header.exec_id of the execution that answers a record: the UUIDv5
// (RFC 9562, section 5.5), in the namespace of execution identifiers, of topic,
// partition, offset and the timestamp's Unix milliseconds, in decimal and with a
// zero byte between them.
func ExecID(topic string, partition int32, offset int64, timestamp time.Time) string {
	h := sha1.New()
	h.Write(namespace[:])
	h.Write(fmt.Appendf(nil, "%s\x00%d\x00%d\x00%d", topic, partition, offset, timestamp.UnixMilli()))
	id := h.Sum(nil)[:16]
	id[6] = id[6]&0x0f | 0x50 // version 5
	id[8] = id[8]&0x3f | 0x80 // variant of the RFC
	s := hex.EncodeToString(id)
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// partitionOf is where Java's producer puts a record with this key.
func partitionOf(key []byte, partitions int) int32 {
	if partitions <= 0 {
		return 0
	}
	return int32(murmur2(key)&0x7fffffff) % int32(partitions)
}

// murmur2 is Austin Appleby's hash with the seed of org.apache.kafka.common.utils.Utils.
func murmur2(data []byte) uint32 {
	const (
		seed = 0x9747b28c
		m    = 0x5bd1e995
		r    = 24
	)
	h := uint32(seed) ^ uint32(len(data))
	for ; len(data) >= 4; data = data[4:] {
		k := binary.LittleEndian.Uint32(data) * m
		k = (k ^ k>>r) * m
		h = h*m ^ k
	}
	if n := len(data); n > 0 {
		var last [4]byte
		copy(last[:], data)
		h = (h ^ binary.LittleEndian.Uint32(last[:])) * m
	}
	h = (h ^ h>>13) * m
	return h ^ h>>15
}
