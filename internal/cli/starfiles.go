package cli

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// starFiles lists the files that paths name, in order and each once. A file is
// taken whatever its name is; a directory, or a link to one, gives all files below
// it whose name ends with one of the suffixes, hidden folders left out.
func starFiles(paths []string, suffixes ...string) ([]string, error) {
	var files []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			files = append(files, filepath.Clean(path))
			continue
		}
		err = fs.WalkDir(os.DirFS(path), ".", func(name string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case entry.IsDir():
				if name != "." && strings.HasPrefix(entry.Name(), ".") {
					return fs.SkipDir
				}
			case slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(name, s) }):
				files = append(files, filepath.Join(path, filepath.FromSlash(name)))
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

// replaceFile gives a file new contents in one step: whoever reads it sees the old
// text or the new one. Its mode is kept. A symbolic link keeps pointing at the
// file, which is the one that is replaced.
func replaceFile(path string, text []byte) (err error) {
	path, err = filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	// The name begins with a dot, so that nobody takes it for a plan.
	tmp, err := os.CreateTemp(filepath.Dir(path), ".starplan-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name()) // The first error is the one to tell.
		}
	}()
	if _, err = tmp.Write(text); err == nil {
		err = tmp.Chmod(info.Mode().Perm())
	}
	if err == nil {
		err = tmp.Sync()
	}
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
