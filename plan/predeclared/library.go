package predeclared

import (
	"fmt"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
)

// library is a module whose errors name it. why, where it is not nil, explains why
// a name is missing, or gives "".
type library struct {
	*starlarkstruct.Module
	why func(name string) string
}

func newLibrary(name string, members starlark.StringDict) library {
	return library{Module: &starlarkstruct.Module{Name: name, Members: members}}
}

// Attr implements starlark.HasAttrs.
func (l library) Attr(name string) (starlark.Value, error) {
	if v, ok := l.Members[name]; ok {
		return v, nil
	}
	if l.why != nil {
		if reason := l.why(name); reason != "" {
			return nil, fmt.Errorf("%s.%s %s", l.Name, name, reason)
		}
	}
	return nil, starlark.NoSuchAttrError(fmt.Sprintf("module %s has no .%s", l.Name, name))
}
