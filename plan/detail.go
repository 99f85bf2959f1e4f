package plan

import (
	"errors"

	"starplan/plan/execution"
)

// Detail is a plan's status with the texts that it speaks of, for showing them
// to people.
type Detail struct {
	Status
	// Source is the version that is served; nil where none is.
	Source *Source
	// Fault is why the newest version is not served; nil where it is, and where the
	// cause is no fault of the plan's text.
	Fault *LoadError
	// Rejected holds the texts of that newest version by module name, as far as they
	// could be read; often nil. Nobody may change it.
	Rejected map[string]string
}

// Label names the plan as [Source.Label] does.
func (d Detail) Label() string { return execution.Key{Graph: d.Graph, Plan: d.Name}.String() }

// Details lists all plans as [Catalog.Plans] does.
func (c *Catalog) Details() []Detail {
	t := c.table.Load()
	details := make([]Detail, 0, len(t.plans))
	for _, s := range t.plans {
		d := Detail{Status: s.status(), Source: s.src, Rejected: s.texts}
		errors.As(s.err, &d.Fault)
		details = append(details, d)
	}
	return details
}

// Source gives the version of a plan that is served, by its label; nil where
// none is.
func (c *Catalog) Source(label string) *Source {
	key, ok := execution.ParseKey([]byte(label))
	if !ok {
		return nil
	}
	if s := c.table.Load().find(key.Graph, key.Plan); s != nil {
		return s.src
	}
	return nil
}

// unread is the fault of a plan whose texts could not all be read, with those
// that could.
type unread struct {
	error
	texts map[string]string
}

// Unwrap gives the fault itself.
func (u *unread) Unwrap() error { return u.error }
