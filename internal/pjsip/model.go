package pjsip

import (
	"fmt"
	"strings"
)

// A model is the objects that a document describes, by type and name.
type model struct {
	byType map[string][]*Section
	byName map[objectKey]*Section
}

type objectKey struct{ kind, name string }

// newModel sorts the sections that are no templates by their type. Several
// sections may share a name if their types differ.
func newModel(doc *Document, ns *notes) *model {
	m := &model{byType: map[string][]*Section{}, byName: map[objectKey]*Section{}}
	for _, s := range doc.Sections {
		if s.Template {
			continue
		}
		kind := strings.ToLower(s.Value("type"))
		if kind == "" {
			ns.section(s, "has no type", "add type=endpoint, aor or whatever it is")
			continue
		}
		key := objectKey{kind, s.Name}
		if first := m.byName[key]; first != nil {
			ns.section(s, fmt.Sprintf("is the second %s of that name; the first, at %s, counts", kind, first.Place), "")
			continue
		}
		m.byName[key] = s
		m.byType[kind] = append(m.byType[kind], s)
	}
	return m
}

// refer follows an option that names objects of a kind, separated by commas, and
// notes those that do not exist.
func (m *model) refer(s *Section, option, kind string, ns *notes) []*Section {
	o, ok := s.Last(option)
	if !ok {
		return nil
	}
	var found []*Section
	for _, name := range values(o) {
		if target := m.byName[objectKey{kind, name}]; target != nil {
			found = append(found, target)
		} else {
			ns.option(o, fmt.Sprintf("there is no %s [%s]", kind, name), "")
		}
	}
	return found
}

// values splits a list.
func values(o Option) []string {
	var all []string
	for v := range strings.SplitSeq(o.Value, ",") {
		if v = strip(v); v != "" {
			all = append(all, v)
		}
	}
	return all
}

// truth reads a switch.
func truth(value string) bool {
	switch strings.ToLower(value) {
	case "yes", "true", "y", "t", "1", "on":
		return true
	}
	return false
}
