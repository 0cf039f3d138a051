package engine

import (
	"fmt"
	"slices"

	"github.com/qarion/qarion/internal/value"
)

// valueUse is a task that reads another's value.
type valueUse struct {
	by, of int // by from 1, of from 0
	use    NameUse
}

// readNothing refuses to read what is not there: the value of a task that
// leaves none.
func (c *compilation) readNothing() {
	for _, u := range c.uses {
		if why := c.noValue[u.of]; why != "" {
			c.add(Problem{Index: u.by, Path: u.use.Path, Value: u.use.Name, Code: "no-value",
				Message: fmt.Sprintf("task %s leaves no value that could be read: %s", c.flow.Tasks[u.of].ID, why)})
		}
	}
}

// variable checks a name that a template reads and that is no task's value.
func (c *compilation) variable(use NameUse) {
	if t := &c.flow.Tasks[c.at-1]; t.Stage > StageTasks && use.Name == "run" {
		t.ReadsRun = true
		return
	}
	if t := &c.flow.Tasks[c.at-1]; t.ForEach != "" && slices.Contains(itemNames, use.Name) && (len(use.Path) == 0 || use.Path[0] != "when") {
		return
	}
	if slices.Contains(contextNames, use.Name) || dateNames[use.Name] != "" || c.flow.declares(use.Name) {
		return
	}
	if use.Optional {
		if !slices.Contains(c.flow.Reads, use.Name) {
			c.flow.Reads = append(c.flow.Reads, use.Name)
		}
		return
	}
	near := ""
	if id, isTask := c.byName[use.Name]; isTask {
		near = "xcom_" + id.TemplateName()
	} else {
		near = c.nearestName(use.Name)
	}
	// Adding it once mends every use; a mistyped one has to be mended everywhere.
	if near == "" && c.missing[use.Name] {
		return
	}
	c.missing[use.Name] = true
	c.add(Problem{Path: use.Path, Value: use.Name, Code: "not-declared", Suggestion: near,
		Message: value.Quoted(use.Name) + " is not declared: add it under [variables]"})
}

// nearestName suggests a variable, a name of the context or a task's value.
func (c *compilation) nearestName(name string) string {
	if c.nearName.known == nil {
		known := append(slices.Clone(contextNames), c.flow.Variables.Keys()...)
		for _, in := range c.flow.Input.Keys() {
			if !slices.Contains(known, in) {
				known = append(known, in)
			}
		}
		for i := range c.flow.Tasks {
			known = append(known, "xcom_"+c.flow.Tasks[i].ID.TemplateName())
		}
		c.nearName.known = known
	}
	if len(name) < 2 {
		return ""
	}
	return c.nearName.nearest(name, "")
}
