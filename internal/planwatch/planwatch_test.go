package planwatch_test

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"starplan/internal/planwatch"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestWatch(t *testing.T) {
	for _, test := range []struct {
		name   string
		path   string
		change func(t *testing.T, dir string)
	}{
		{"file written", "a.star", func(t *testing.T, dir string) { write(t, filepath.Join(dir, "a.star"), "2") }},
		{"file replaced", "a.star", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "new"), "2")
			if err := os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "a.star")); err != nil {
				t.Fatal(err)
			}
		}},
		{"in a folder", ".", func(t *testing.T, dir string) { write(t, filepath.Join(dir, "b", "plan.star"), "2") }},
		{"folder made", ".", func(t *testing.T, dir string) { write(t, filepath.Join(dir, "c", "plan.star"), "1") }},
		{"removed", ".", func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "a.star")); err != nil {
				t.Fatal(err)
			}
		}},
		{"configmap swapped", ".", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "..v2", "a.star"), "2")
			if err := os.Symlink("..v2", filepath.Join(dir, "..data_tmp")); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "a.star"), "1")
			write(t, filepath.Join(dir, "b", "plan.star"), "1")
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			changed := make(chan struct{}, 100)
			ended := make(chan error, 1)
			go func() {
				ended <- planwatch.Watch(ctx, filepath.Join(dir, test.path), slog.New(slog.DiscardHandler), func() { changed <- struct{}{} })
			}()
			// Watching begins at some point after the call: a probe is written until
			// it is noticed, and then the change proper.
			awaitProbe(t, filepath.Join(dir, "probe"), changed)
			test.change(t, dir)
			select {
			case <-changed:
			case <-ctx.Done():
				t.Error("the change was not told")
			}
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("Watch = %v, want nil at the end of its context", err)
			}
		})
	}
}

func awaitProbe(t *testing.T, path string, changed <-chan struct{}) {
	t.Helper()
	tick := time.NewTicker(150 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-changed:
			// Drop what later probes cause: nothing is written any more.
			for {
				select {
				case <-changed:
				case <-time.After(250 * time.Millisecond):
					return
				}
			}
		case <-tick.C:
			write(t, path, time.Now().String())
		case <-time.After(10 * time.Second):
			t.Fatal("nothing was told")
		}
	}
}

func TestWatchMissing(t *testing.T) {
	err := planwatch.Watch(t.Context(), filepath.Join(t.TempDir(), "nothing"), slog.New(slog.DiscardHandler), func() {})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Watch of a missing path = %v, want one that the path does not exist", err)
	}
}
