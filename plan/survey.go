package plan

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Survey is all the text of a plan that could be read, with all that was wrong on
// the way. It is what tools need that tell of every fault at once; a [Source] is
// what can be run.
type Survey struct {
	// Entry is the name of the module that defines plan().
	Entry string
	// Files holds the text of the modules that could be read, by name.
	Files map[string]string
	// Faults are the modules that could not be read, and texts that are no UTF-8 or
	// too long. That a text does not parse is none of them.
	Faults []*LoadError
}

// Survey reads what it can of the plan. The error is that of reading its entry,
// unless the text is at fault.
func (l Location) Survey() (*Survey, error) {
	root, err := l.open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	s := newSurveyor(root, l.entry)
	text, err := s.reader.read(l.entry)
	var fault *LoadError
	switch {
	case errors.As(err, &fault):
		s.Faults = append(s.Faults, fault)
	case err != nil:
		return nil, fmt.Errorf("read plan %q: %s: %w", l.Label(), l.Path, err)
	default:
		s.follow(l.entry, text)
	}
	return &s.Survey, nil
}

// SurveyText is Survey for a plan whose entry's text is at hand, as in an editor.
// path says where it would lie: modules are read from there, as far as there is
// such a directory.
func SurveyText(path, text string) (*Survey, error) {
	l := fileLocation(path, nameOf(path))
	var root *os.Root // Nil reads nothing.
	root, err := os.OpenRoot(l.top)
	switch {
	case err == nil:
		defer func() { _ = root.Close() }()
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("read plan: %w", err)
	}
	s := newSurveyor(root, filepath.ToSlash(l.entry))
	s.reader.total = len(text)
	if len(text) > MaxSource {
		s.Faults = append(s.Faults, sourceLimit(s.Entry))
		return &s.Survey, nil
	}
	s.follow(s.Entry, text)
	return &s.Survey, nil
}

// surveyor collects a survey.
type surveyor struct {
	Survey
	reader reader
}

func newSurveyor(root *os.Root, entry string) *surveyor {
	files := make(map[string]string)
	return &surveyor{
		Survey: Survey{Entry: entry, Files: files},
		reader: reader{root: root, entry: entry, files: files},
	}
}

// follow reads what a module loads, and what that loads.
func (s *surveyor) follow(module, text string) {
	s.Files[module] = text
	if err := checkText(module, text); err != nil {
		var fault *LoadError
		if errors.As(err, &fault) {
			s.Faults = append(s.Faults, fault)
		}
		return
	}
	file, err := dialect.Parse(module, text, 0)
	if err != nil {
		return
	}
	for _, load := range loads(file) {
		name := load.ModuleName()
		if _, ok := s.Files[name]; ok {
			continue
		}
		text, err := s.read(name)
		if err != nil {
			var fault *LoadError
			if errors.As(loadFault(load, err), &fault) {
				s.Faults = append(s.Faults, fault)
			}
			continue
		}
		s.follow(name, text)
	}
}

// read reads one module, if there is anywhere to read from.
func (s *surveyor) read(name string) (string, error) {
	if s.reader.root == nil {
		if err := checkModuleName(name); err != nil {
			return "", err
		}
		return "", fs.ErrNotExist
	}
	return s.reader.read(name)
}
