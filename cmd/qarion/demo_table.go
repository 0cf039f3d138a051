package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// demoTable prints what the flow due_reminders has left in its database, as its
// last task read it.
func (a *app) demoTable(ctx context.Context, client *bus.Client, docs []*engine.RunDoc) error {
	for _, d := range docs {
		if d.FlowID != "due_reminders" || d.Status != engine.Success || a.json() || a.flags.quiet {
			continue
		}
		var text json.RawMessage
		if err := client.Call(ctx, "xcom.get", bus.XComRef{Run: string(d.RunID), Task: "table"}, &text); err != nil {
			return fmt.Errorf("read what due_reminders has left: %w", err)
		}
		v, err := value.ParseJSON(text)
		if err != nil {
			return err
		}
		t := newTable("NAME", "OWES", "REMINDER", "SENT").alignRight(1)
		rows, _ := v.([]any)
		for _, row := range rows {
			m, _ := row.(*value.Map)
			var cells []string
			for _, cell := range m.All() {
				cells = append(cells, fmt.Sprint(cell))
			}
			t.add(cells...)
		}
		fmt.Fprintln(a.ui.out, "due_reminders read who owes something, called the API, and loaded its answer:")
		a.ui.printTable(t)
		fmt.Fprintln(a.ui.out)
	}
	return nil
}
