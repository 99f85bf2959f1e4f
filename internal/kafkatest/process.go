package kafkatest

import (
	"context"
	"os/exec"
	"runtime"
)

// process is a child process that does not outlive this one.
type process struct {
	cmd *exec.Cmd
	// ended is done when the process has ended and was waited for; from then on
	// cmd.ProcessState says how.
	ended context.Context
}

// startProcess starts cmd. Linux sends the child its death signal when the
// thread that started it ends, which may be long before the process does; the
// goroutine that starts it therefore keeps its thread for as long as the child lives.
func startProcess(cmd *exec.Cmd) (*process, error) {
	dieWithParent(cmd)
	ended, end := context.WithCancel(context.Background())
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer end()
		err := cmd.Start()
		started <- err
		if err == nil {
			// Its error repeats the ProcessState.
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return &process{cmd: cmd, ended: ended}, nil
}
