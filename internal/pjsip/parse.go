package pjsip

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Bounds on what one import reads; far above any real file.
const (
	maxBytes   = 64 << 20 // of all files together
	maxOptions = 2 << 20  // of all sections together, inherited ones included
	maxDepth   = 10       // of includes in includes
)

// Files is where a configuration and its includes are read. Names are those of
// the #include lines; what they are relative to is up to the implementation.
type Files interface {
	// Read returns the content of a file.
	Read(name string) ([]byte, error)
	// Glob returns the names of the files that match a pattern of path.Match,
	// sorted; none is no error.
	Glob(pattern string) ([]string, error)
}

// An Option is one assignment.
type Option struct {
	Name, Value string
	// Section is where it was written: that of a template if it was inherited.
	Section string
	Place   Place
}

// A Section is a named group of options, those inherited first.
type Section struct {
	Name     string
	Template bool
	Options  []Option
	Place    Place
}

// Last returns the last option of a name: later ones replace earlier ones.
func (s *Section) Last(name string) (Option, bool) {
	for _, o := range slices.Backward(s.Options) {
		if strings.EqualFold(o.Name, name) {
			return o, true
		}
	}
	return Option{}, false
}

// Value returns the value of Last, "" for none.
func (s *Section) Value(name string) string {
	o, _ := s.Last(name)
	return o.Value
}

// All returns the options of a name, in order.
func (s *Section) All(name string) []Option {
	var all []Option
	for _, o := range s.Options {
		if strings.EqualFold(o.Name, name) {
			all = append(all, o)
		}
	}
	return all
}

// A Document is what was read: all sections in order, templates among them.
type Document struct {
	Sections []*Section
	// Notes are about lines that are not understood.
	Notes []Note
}

// ErrTooLarge means that the files, or the sections with what they inherit,
// exceed what an import reads.
var ErrTooLarge = errors.New("pjsip: the configuration is too large")

// Parse reads the file of that name with what it includes. Lines that are not
// understood become notes; an error means that a file could not be read, or
// ErrTooLarge.
func Parse(name string, files Files) (*Document, error) {
	p := &parser{files: files, doc: &Document{}, byName: map[string][]*Section{}}
	if err := p.file(name, nil); err != nil {
		return nil, err
	}
	p.doc.Notes = p.notes.list
	return p.doc, nil
}

type parser struct {
	files   Files
	doc     *Document
	byName  map[string][]*Section // by lower-case name
	notes   notes
	open    []string // the files that are being read, each included by the one before
	bytes   int
	options int
}

// file reads one file. Options at its start belong to current, the section that
// was open where it was included.
func (p *parser) file(name string, current *Section) error {
	if slices.Contains(p.open, name) {
		return fmt.Errorf("%s includes itself", name)
	}
	p.open = append(p.open, name)
	defer func() { p.open = p.open[:len(p.open)-1] }()
	data, err := p.files.Read(name)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if p.bytes += len(data); p.bytes > maxBytes {
		return ErrTooLarge
	}
	var comments stripper
	at := Place{File: name}
	for raw := range strings.Lines(strings.TrimPrefix(string(data), "\ufeff")) {
		at.Line++
		line := strip(comments.line(raw))
		switch {
		case line == "":
		case line[0] == '[':
			if s := p.header(line, at); s != nil {
				current = s
			}
		case line[0] == '#':
			if err := p.directive(line[1:], current, at); err != nil {
				return err
			}
		default:
			p.assignment(line, current, at)
		}
		if p.options > maxOptions {
			return ErrTooLarge
		}
	}
	if comments.depth > 0 {
		p.complain(at, "the file ends inside a block comment", "close it with --;")
	}
	return nil
}

func (p *parser) complain(at Place, what, hint string) {
	p.notes.add(Note{Place: at, What: what, Hint: hint})
}

// strip removes blanks and control characters around s.
func strip(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return r <= ' ' })
}

// header opens a section: [name], [name](!) for a template, [name](a,b) for one
// that inherits, [name](+) for more of an earlier one. It returns nil if the
// line is not understood.
func (p *parser) header(line string, at Place) *Section {
	name, rest, ok := strings.Cut(line[1:], "]")
	if !ok {
		p.complain(at, "the ] behind the section's name is missing", "")
		return nil
	}
	s := &Section{Name: name, Place: at}
	modifiers, ok := strings.CutPrefix(rest, "(")
	if !ok {
		return p.add(s)
	}
	modifiers, _, ok = strings.Cut(modifiers, ")")
	if !ok {
		p.complain(at, "the ) behind the templates' names is missing", "")
		return p.add(s)
	}
	for m := range strings.SplitSeq(modifiers, ",") {
		m = strip(m)
		switch {
		case m == "":
		case m == "!":
			s.Template = true
		case m[0] == '+':
			earlier := p.earlier(name, m[1:])
			if earlier == nil {
				p.complain(at, fmt.Sprintf("[%s](%s) adds to a section that does not stand before it", name, m), "")
				continue
			}
			earlier.Template = earlier.Template || s.Template
			earlier.Options = append(earlier.Options, s.Options...)
			return earlier
		default:
			p.inherit(s, m, at)
		}
	}
	return p.add(s)
}

func (p *parser) add(s *Section) *Section {
	p.doc.Sections = append(p.doc.Sections, s)
	key := strings.ToLower(s.Name)
	p.byName[key] = append(p.byName[key], s)
	return s
}

// earlier finds the section that [name](+) continues: the first that is no
// template or, with a filter OPTION=VALUE, the first that has it.
func (p *parser) earlier(name, filter string) *Section {
	option, value, filtered := strings.Cut(filter, "=")
	for _, s := range p.byName[strings.ToLower(name)] {
		switch {
		case filtered && strings.EqualFold(option, "TEMPLATES"):
			if s.Template || value == "include" {
				return s
			}
		case s.Template:
		case !filtered || s.Value(option) == value:
			return s
		}
	}
	return nil
}

// inherit copies what a section of that name has so far.
func (p *parser) inherit(s *Section, base string, at Place) {
	all := p.byName[strings.ToLower(base)]
	if len(all) == 0 {
		p.complain(at, fmt.Sprintf("[%s] inherits from [%s], which does not stand before it", s.Name, base), "")
		return
	}
	p.options += len(all[0].Options)
	if p.options <= maxOptions {
		s.Options = append(s.Options, all[0].Options...)
	}
}

// assignment reads name = value, name => value or, to lengthen the value that
// the section has already, name += text.
func (p *parser) assignment(line string, s *Section, at Place) {
	// A backslash at the start lets a name begin with [ or #.
	escaped := strings.HasPrefix(line, `\`)
	if escaped {
		line = line[1:]
	}
	from := 0
	if escaped {
		from = min(1, len(line))
	}
	i := strings.IndexByte(line[from:], '=') + from
	switch {
	case i < from:
		p.complain(at, "is neither a section nor an option", "an option is written name = value")
		return
	case s == nil:
		p.complain(at, "an option stands before the first section", "")
		return
	}
	name, value := line[:i], line[i+1:]
	longer := strings.HasSuffix(name, "+") && i-1 >= from
	if longer {
		name = strip(name[:len(name)-1])
		for j := len(s.Options) - 1; j >= 0; j-- {
			if o := &s.Options[j]; o.Name == name {
				o.Value, o.Section, o.Place = strip(o.Value+value), s.Name, at
				return
			}
		}
	} else {
		value = strings.TrimPrefix(value, ">")
	}
	if name = strip(name); name == "" {
		p.complain(at, "an option has no name", "")
		return
	}
	p.options++
	s.Options = append(s.Options, Option{Name: name, Value: strip(value), Section: s.Name, Place: at})
}

// directive reads #include, which must find a file, and #tryinclude, which need
// not. #exec would run a program and is only noted.
func (p *parser) directive(line string, current *Section, at Place) error {
	word, name := line, ""
	if i := strings.IndexFunc(line, func(r rune) bool { return r <= ' ' }); i >= 0 {
		word, name = line[:i], unquote(strip(line[i:]))
	}
	word = strings.ToLower(word)
	switch {
	case word == "exec":
		p.complain(at, "#exec is not run", "run the program yourself and #include what it prints")
		return nil
	case word != "include" && word != "tryinclude":
		p.complain(at, fmt.Sprintf("#%s is no directive", word), "")
		return nil
	case name == "":
		p.complain(at, "#"+word+" names no file", "")
		return nil
	case len(p.open) > maxDepth:
		return fmt.Errorf("%s: includes stand in each other more than %d deep", at, maxDepth)
	}
	names, err := p.files.Glob(name)
	if err != nil {
		return fmt.Errorf("%s: #%s: %w", at, word, err)
	}
	if len(names) == 0 && word == "include" && !strings.ContainsAny(name, "*?[") {
		p.complain(at, fmt.Sprintf("there is no file %s to include", path.Clean(name)), "import a complete copy of the folder")
	}
	for _, n := range names {
		if err := p.file(n, current); err != nil {
			return err
		}
	}
	return nil
}

// unquote removes the quotes or angle brackets around a file name.
func unquote(s string) string {
	if len(s) >= 2 && (s[0] == '"' && s[len(s)-1] == '"' || s[0] == '<' && s[len(s)-1] == '>') {
		return s[1 : len(s)-1]
	}
	return s
}
