package cli_test

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"starplan/internal/cli"
	"starplan/plan/worker"
)

func TestMain(m *testing.M) {
	worker.Divert()
	testscript.Main(m, map[string]func(){"starplan": func() {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		os.Exit(cli.Main(ctx, cli.Process{Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}))
	}})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata", RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			// A program built with -race waits a second at its end otherwise.
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			return nil
		},
	})
}
