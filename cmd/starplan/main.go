// Starplan runs Starlark plans over Kafka. See package starplan/internal/cli for
// the commands.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"starplan/internal/cli"
	"starplan/plan/worker"
)

func main() {
	// A reload that arrives before anybody listens would end the process, so the
	// handler comes before everything else.
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	worker.Divert()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		// A second signal ends the process at once.
		<-ctx.Done()
		stop()
	}()
	os.Exit(cli.Main(ctx, cli.Process{
		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Reload: reload,
	}))
}
