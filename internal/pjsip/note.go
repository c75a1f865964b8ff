package pjsip

import (
	"fmt"
	"strings"
)

// A Place is a line of a file.
type Place struct {
	File string
	Line int // from 1; 0 for the file itself
}

// String returns "file:line".
func (p Place) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// A Note says what was not taken over as it stands, or cannot be right. It
// never holds a value of the file, which may be a password, except names of
// sections.
type Note struct {
	Place Place
	// Section and Option say what it is about; either may be empty.
	Section, Option string
	// What is so; Hint says what to do and may be empty.
	What, Hint string
}

// String returns "file:line: [section] option: what; hint: ...".
func (n Note) String() string {
	return printable(n.Place.String() + ": " + n.text(n.Section))
}

// text is the note without its place, about a section of that name.
func (n Note) text(section string) string {
	var b strings.Builder
	if section != "" {
		fmt.Fprintf(&b, "[%s]", section)
		if n.Option != "" {
			b.WriteString(" " + n.Option)
		}
		b.WriteString(": ")
	}
	b.WriteString(n.What)
	if n.Hint != "" {
		b.WriteString("; hint: " + n.Hint)
	}
	return b.String()
}

// notes gathers what there is to say, in the order it was found.
type notes struct {
	list []Note
	// said holds what was said of options, so that a template's line is not told
	// again for each section that inherits it.
	said map[Note]bool
}

func (ns *notes) add(n Note) {
	if ns.said == nil {
		ns.said = map[Note]bool{}
	}
	if !ns.said[n] {
		ns.said[n] = true
		ns.list = append(ns.list, n)
	}
}

// option notes something about an option, where it was written.
func (ns *notes) option(o Option, what, hint string) {
	ns.add(Note{Place: o.Place, Section: o.Section, Option: o.Name, What: what, Hint: hint})
}

// section notes something about a section.
func (ns *notes) section(s *Section, what, hint string) {
	ns.add(Note{Place: s.Place, Section: s.Name, What: what, Hint: hint})
}
