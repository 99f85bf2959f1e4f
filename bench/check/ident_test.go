package check

import "testing"

// TestMurmur2 uses the values of Apache Kafka's own test of Utils.murmur2.
func TestMurmur2(t *testing.T) {
	tests := []struct {
		data string
		want int32
	}{
		{"21", -973932308},
		{"foobar", -790332482},
		{"a-little-bit-long-string", -985981536},
		{"a-little-bit-longer-string", -1486304829},
		{"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
		{"abc", 479470107},
	}
	for _, test := range tests {
		if got := int32(murmur2([]byte(test.data))); got != test.want {
			t.Errorf("murmur2(%q) = %d, want %d", test.data, got, test.want)
		}
	}
}
