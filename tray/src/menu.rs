//! The platform's menu, made whole from the model.

use tray_icon::menu::{IsMenuItem, Menu, MenuItem, PredefinedMenuItem, Submenu};

use crate::model::Line;

/// Makes the menu.
///
/// # Errors
/// When the platform refuses a line.
pub(crate) fn build(lines: &[Line]) -> tray_icon::menu::Result<Menu> {
    let menu = Menu::new();
    for line in lines {
        menu.append(item(line)?.as_ref())?;
    }
    Ok(menu)
}

fn item(line: &Line) -> tray_icon::menu::Result<Box<dyn IsMenuItem>> {
    Ok(match line {
        Line::Text(text) => Box::new(MenuItem::new(label(text), false, None)),
        Line::Entry(text, command) => Box::new(MenuItem::with_id(command.id(), label(text), true, None)),
        Line::Separator => Box::new(PredefinedMenuItem::separator()),
        Line::Submenu(text, lines) => {
            let below = Submenu::new(label(text), true);
            for line in lines {
                below.append(item(line)?.as_ref())?;
            }
            Box::new(below)
        }
    })
}

/// Whether what stands at each place is of the kind that stood there. On Linux a menu of the same length is announced
/// as changed properties, and panels show `Label Empty` where an entry becomes a rule: an empty menu in between has them
/// make it anew.
pub(crate) fn keeps_kinds(shown: &[Line], lines: &[Line]) -> bool {
    shown.iter().zip(lines).all(|(old, new)| match (old, new) {
        (Line::Submenu(_, old), Line::Submenu(_, new)) => keeps_kinds(old, new),
        (old, new) => (*old == Line::Separator) == (*new == Line::Separator),
    })
}

/// A lone `&` would vanish and underline the next letter; control characters in a phone's name have no place here.
fn label(text: &str) -> String {
    text.replace(char::is_control, " ").replace('&', "&&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_show_what_was_written() {
        for (text, expected) in [
            ("Back up now", "Back up now"),
            ("Tom & Anna's", "Tom && Anna's"),
            ("&&", "&&&&"),
            ("two\nlines", "two lines"),
        ] {
            assert_eq!(label(text), expected);
        }
    }
}
