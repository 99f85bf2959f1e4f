package predeclared

import (
	"archive/zip"
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// zoneinfo is the tz database in the form that the Go distribution carries, which
// this file is a copy of. time/tzdata would not do: it is consulted only for
// zones that the host's own database lacks, so that a plan could see another
// offset on another host.
//
//go:generate sh -c "cp \"$(go env GOROOT)/lib/time/zoneinfo.zip\" zoneinfo.zip"
//go:embed zoneinfo.zip
var zoneinfo []byte

// zoneFiles indexes the database by zone name.
var zoneFiles = sync.OnceValue(func() map[string]*zip.File {
	r, err := zip.NewReader(bytes.NewReader(zoneinfo), int64(len(zoneinfo)))
	if err != nil {
		panic(fmt.Sprintf("predeclared: embedded zoneinfo.zip: %v", err))
	}
	files := make(map[string]*zip.File, len(r.File))
	for _, f := range r.File {
		if !f.FileInfo().IsDir() {
			files[f.Name] = f
		}
	}
	return files
})

// zones caches what was parsed; the database bounds its size.
var zones sync.Map // Of string to *time.Location.

// errNoZone is what location gives for a name that the database lacks.
var errNoZone = errors.New("unknown time zone")

// location gives a zone of the embedded database. "" is UTC; "Local" is refused.
func location(name string) (*time.Location, error) {
	switch name {
	case "", "UTC":
		return time.UTC, nil
	case "Local":
		return nil, errors.New(`time zone "Local" differs between machines; name a zone, as "Europe/Berlin"`)
	}
	if loc, ok := zones.Load(name); ok {
		return loc.(*time.Location), nil
	}
	file, ok := zoneFiles()[name]
	if !ok {
		return nil, fmt.Errorf("%w %q", errNoZone, clip(name))
	}
	loc, err := readZone(name, file)
	if err != nil {
		return nil, fmt.Errorf("time zone %q: %w", name, err)
	}
	zones.Store(name, loc)
	return loc, nil
}

func readZone(name string, file *zip.File) (*time.Location, error) {
	r, err := file.Open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	return time.LoadLocationFromTZData(name, data)
}
