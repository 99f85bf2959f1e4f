// Package e2e holds the end-to-end tests: the real program, started as a process
// and configured by its environment, between a real topic of inputs and a real
// topic of executions.
//
// They run on the embedded broker, or on Apache Kafka where
// STARPLAN_E2E_BROKER=kafka asks for it (make test-kafka). One broker serves all
// tests; each has a tenant, and so topics and a group, of its own.
package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"starplan/internal/kafkatest"

	// The program is built by the go command, of which the test cache knows
	// nothing: these make a change of it run the tests again.
	_ "starplan/internal/cli"
	_ "starplan/plan/worker"
)

// suite is what all tests share.
var suite struct {
	program string
	kind    kafkatest.Kind
	broker  kafkatest.Broker
}

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "starplan-e2e-")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	suite.program = filepath.Join(dir, "starplan")
	args := append([]string{"build", "-buildvcs=false", "-o", suite.program}, raceFlags...)
	if out, err := exec.Command("go", append(args, "starplan/cmd/starplan")...).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("e2e: build the program: %w\n%s", err, out)
	}
	if suite.kind, err = kafkatest.KindFromEnv(); err != nil {
		return 0, err
	}
	started := time.Now()
	opts := kafkatest.Options{Kind: suite.kind}
	if suite.kind == kafkatest.Kafka {
		if err := secure(dir, &opts); err != nil {
			return 0, err
		}
	}
	if suite.broker, err = kafkatest.Start(context.Background(), opts); err != nil {
		return 0, err
	}
	fmt.Printf("e2e: %s at %s, up in %v\n", suite.kind, suite.broker.Addr(), time.Since(started).Round(time.Millisecond))
	defer func() {
		if closeErr := suite.broker.Close(); err == nil {
			err = closeErr
		}
	}()
	return m.Run(), nil
}
