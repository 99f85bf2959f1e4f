package kafkatest

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// Ports are taken from this range. It lies below the one from which Linux
// (32768 and up) and others (49152 and up) choose the ports of clients.
const (
	firstPort = 20000
	lastPort  = 32000
)

// FreePort finds a port on 127.0.0.1 that nobody listens on, and that no client
// will be given by chance. It is not reserved: with bad luck another process
// takes it first.
func FreePort() (int, error) {
	var last error
	for range 100 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			last = err
			continue
		}
		return port, l.Close()
	}
	return 0, fmt.Errorf("kafkatest: no free port from %d to %d: %w", firstPort, lastPort, last)
}
