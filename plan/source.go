package plan

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.starlark.net/syntax"
)

// MaxSource is the largest number of bytes that a plan's text may have together
// with all modules that it loads. Far larger texts exhaust the compiler's stack.
const MaxSource = 256 << 10

// EntryFile is the entry of a plan that is a folder.
const EntryFile = "plan.star"

// Source is the text of one plan. It is immutable: nobody may change Files.
type Source struct {
	// Name is the plan's name, as it stands in record keys.
	Name string
	// Graph is the graph whose keys the plan serves; empty for those of any graph.
	Graph string
	// Entry is the name of the module that defines plan(), a key of Files.
	Entry string
	// Files holds the text of the entry and of all modules that it loads, by name:
	// a slash-separated path relative to the plan's own directory.
	Files map[string]string
	// Digest is the hex SHA-256 of the entry's name and of each module's name,
	// length and text. Equal digests mean equal behaviour under equal limits.
	Digest string
}

// Label names the plan among all that a process serves: "name", or "graph:name"
// for a plan of one graph. It is the value of the label "plan" of all metrics.
func (s *Source) Label() string {
	if s.Graph == "" {
		return s.Name
	}
	return s.Graph + ":" + s.Name
}

// NewSource makes a Source from text. entry names the module that defines
// plan(); files holds it and all modules that it loads, and is copied. The error
// is a [*LoadError] where the text is at fault.
func NewSource(name, entry string, files map[string]string) (*Source, error) {
	if _, ok := files[entry]; !ok {
		return nil, fmt.Errorf("plan %q: entry %q is not among its files", name, entry)
	}
	total := 0
	names := slices.Sorted(maps.Keys(files))
	for _, file := range names {
		if err := checkModuleName(file); err != nil {
			return nil, fmt.Errorf("plan %q: module name %q: %w", name, file, err)
		}
		if err := checkText(file, files[file]); err != nil {
			return nil, err
		}
		if total += len(files[file]); total > MaxSource {
			return nil, sourceLimit(entry)
		}
	}
	src := &Source{Name: name, Entry: entry, Files: maps.Clone(files)}
	src.Digest = digest(entry, names, files)
	return src, nil
}

// digest hashes length-prefixed strings, so that no two sets of files give the
// same input to the hash.
func digest(entry string, names []string, files map[string]string) string {
	h := sha256.New()
	put := func(s string) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		io.WriteString(h, s) //nolint:errcheck // A hash never fails to write.
	}
	put(entry)
	for _, name := range names {
		put(name)
		put(files[name])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// ReadFile reads a plan from disk: path is a Starlark file, or a folder that
// holds plan.star. It follows load() statements without running anything, and
// reads only below the plan's own directory, which is the folder or the one that
// the file lies in: a symbolic link that leads out of it is refused.
//
// name is the plan's name; where it is empty it is taken from the path. The error
// is a [*LoadError] where the text is at fault.
func ReadFile(path, name string) (*Source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read plan: %w", err)
	}
	dir, entry := path, EntryFile
	if !info.IsDir() {
		dir, entry = filepath.Split(path)
	}
	if name == "" {
		name = nameOf(path)
	}
	root, err := os.OpenRoot(cmp.Or(dir, "."))
	if err != nil {
		return nil, fmt.Errorf("read plan: %w", err)
	}
	defer func() { _ = root.Close() }()
	return readRoot(root, entry, name)
}

// nameOf takes a plan's name from its path: the folder's or the file's, without
// its extension.
func nameOf(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	return strings.TrimSuffix(filepath.Base(path), ".star")
}

// readRoot reads entry and what it loads from root, the plan's own directory.
func readRoot(root *os.Root, entry, name string) (*Source, error) {
	r := reader{root: root, entry: entry, files: make(map[string]string)}
	text, err := r.read(entry)
	if err != nil {
		var fault *LoadError
		if errors.As(err, &fault) {
			return nil, fault
		}
		return nil, fmt.Errorf("read plan %q: %w", name, err)
	}
	if err := r.follow(entry, text); err != nil {
		return nil, &unread{err, r.files}
	}
	src, err := NewSource(name, entry, r.files)
	if err != nil {
		return nil, &unread{err, r.files}
	}
	return src, nil
}

// reader collects a plan's modules.
type reader struct {
	root  *os.Root
	entry string
	files map[string]string
	total int
}

// follow reads what the module loads, and what that loads. Text that does not
// parse ends the search there: to compile it will say what is wrong.
func (r *reader) follow(module, text string) error {
	r.files[module] = text
	file, err := dialect.Parse(module, text, 0)
	if err != nil {
		return nil
	}
	for _, load := range loads(file) {
		name := load.ModuleName()
		if _, ok := r.files[name]; ok {
			continue
		}
		text, err := r.read(name)
		if err != nil {
			return loadFault(load, err)
		}
		if err := r.follow(name, text); err != nil {
			return err
		}
	}
	return nil
}

// loadFault turns the failure to read a module into an error at its load().
func loadFault(load *syntax.LoadStmt, err error) error {
	var fault *LoadError
	if errors.As(err, &fault) {
		return fault
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.New("no such file in the plan's directory")
	}
	return loadErrorAt(CodeLoad, load.Module.TokenPos, "cannot load %q: %v", load.ModuleName(), err)
}

// read reads one module. It reads one byte more than is left of the limit at most.
func (r *reader) read(name string) (string, error) {
	if err := checkModuleName(name); err != nil {
		return "", err
	}
	path := filepath.FromSlash(name)
	// Look before opening: to open a named pipe would wait for a writer.
	if info, err := r.root.Stat(path); err != nil {
		return "", plainPathError(err)
	} else if !info.Mode().IsRegular() {
		return "", errors.New("not a regular file")
	}
	f, err := r.root.Open(path)
	if err != nil {
		return "", plainPathError(err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, int64(MaxSource-r.total)+1))
	if err != nil {
		return "", plainPathError(err)
	}
	if r.total += len(text); r.total > MaxSource {
		return "", sourceLimit(r.entry)
	}
	return string(text), nil
}

// plainPathError drops operation and path of an error of package os, which its
// reader knows already.
func plainPathError(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}

// sourceLimit is the error for a plan that is too large.
func sourceLimit(entry string) *LoadError {
	return &LoadError{
		Code:    CodeSourceLimit,
		File:    entry,
		Message: fmt.Sprintf("source exceeds the limit of %d bytes with all modules; move data out of the plan or split it into several", MaxSource),
	}
}

// checkModuleName accepts slash-separated paths that stay in the directory.
func checkModuleName(name string) error {
	switch {
	case strings.HasPrefix(name, "/") || strings.HasPrefix(name, "@") || strings.HasPrefix(name, ":"):
		return errors.New("want a path relative to the plan's directory, as \"lib.star\"")
	case strings.ContainsAny(name, "\\\x00"):
		return errors.New("want slashes between folders and no backslash or NUL")
	case slices.Contains(strings.Split(name, "/"), ".."):
		return errors.New("want a path below the plan's directory, without \"..\"")
	case !fs.ValidPath(name) || name == ".":
		return errors.New("want a plain path, as \"lib.star\" or \"lib/dates.star\"")
	}
	return nil
}

// checkText refuses text that is no UTF-8, naming the line.
func checkText(file, text string) error {
	if utf8.ValidString(text) {
		return nil
	}
	line, col := 1, 1
	for i, r := range text {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(text[i:]); size == 1 {
				return &LoadError{
					Code: CodeParse, File: file, Line: line, Col: col,
					Message: "byte " + strconv.Quote(text[i:i+1]) + " is not valid UTF-8",
				}
			}
		}
		col++
		if r == '\n' {
			line, col = line+1, 1
		}
	}
	return nil
}

// loads lists the load statements of a file in order. Starlark allows them at the
// top level only, which name resolution checks.
func loads(file *syntax.File) []*syntax.LoadStmt {
	var list []*syntax.LoadStmt
	for _, stmt := range file.Stmts {
		if load, ok := stmt.(*syntax.LoadStmt); ok {
			list = append(list, load)
		}
	}
	return list
}
