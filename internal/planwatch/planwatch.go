// Package planwatch tells when plan files may have changed.
//
// It watches directories and not files, since editors and Kubernetes replace
// files instead of writing to them: a ConfigMap is a symbolic link, ..data, that
// is pointed at another directory. What changed is not told; reading the plans
// again finds out, and costs nothing where their digests are the same.
package planwatch

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settle is how long files must rest before a change is told: an editor that
// saves, or a copy of a directory, is many events.
const settle = 100 * time.Millisecond

// Watch calls changed after files below path, a plan's file or a directory of
// plans, were written, made, renamed or removed; many changes at once give one
// call. It returns when ctx ends. changed is called from this goroutine.
func Watch(ctx context.Context, path string, log *slog.Logger, changed func()) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch plans: %w", err)
	}
	defer func() { _ = watcher.Close() }() // It was only read from.
	if err := addTree(watcher, path); err != nil {
		return fmt.Errorf("watch plans: %w", err)
	}
	timer := time.NewTimer(settle)
	timer.Stop()
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case event := <-watcher.Events:
			if event.Has(fsnotify.Create) {
				// A new directory is watched from now on. What was put into it before
				// now is found all the same, as the plans are read afterwards.
				if err := addTree(watcher, event.Name); err != nil {
					log.Debug("new directory is not watched", "path", event.Name, "err", err)
				}
			}
			if !event.Has(fsnotify.Chmod) {
				timer.Reset(settle)
			}
		case err := <-watcher.Errors:
			// Events were lost, so anything may have changed.
			log.Warn("watching plans faltered", "err", err)
			timer.Reset(settle)
		case <-timer.C:
			changed()
		}
	}
}

// addTree watches path and the directories below it, or the directory that holds
// it where it is a file.
func addTree(watcher *fsnotify.Watcher, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return watcher.Add(filepath.Dir(path))
	}
	// The walk does not follow links, but its root may be one.
	root, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	if err := watcher.Add(path); err != nil {
		return err
	}
	return filepath.WalkDir(root, func(sub string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() || sub == root {
			return nil //nolint:nilerr // What vanished meanwhile needs no watching.
		}
		return watcher.Add(sub)
	})
}
