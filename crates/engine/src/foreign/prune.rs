//! An ONNX file cut down to what one of its outputs needs: labels and maps that nobody asks for are not computed, and
//! need not be known to the runtime.

use std::collections::BTreeSet;

use consilience_core::Result;

use super::inspect::Node;
use super::wire::{Field, fields, write_bytes};

/// The same model with one output, and the nodes and arrays that it depends on.
///
/// # Errors
/// [`Error::Model`](consilience_core::Error::Model) for a damaged file.
pub(super) fn prune(file: &[u8], output: &str) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(file.len());
    for field in fields(file) {
        let field = field?;
        if field.number == 7 {
            write_bytes(&mut out, 7, &graph(field.bytes()?, output)?);
        } else {
            out.extend_from_slice(field.raw);
        }
    }
    Ok(out)
}

/// The nodes of the main graph, in the file's order.
pub(super) fn nodes(file: &[u8]) -> Result<Vec<Node<'_>>> {
    let mut out = Vec::new();
    for field in fields(file) {
        let field = field?;
        if field.number == 7 {
            for inner in fields(field.bytes()?) {
                let inner = inner?;
                if inner.number == 1 {
                    out.push(Node::read(inner.bytes()?)?);
                }
            }
        }
    }
    Ok(out)
}

fn graph(message: &[u8], output: &str) -> Result<Vec<u8>> {
    let all: Vec<Field<'_>> = fields(message).collect::<Result<_>>()?;
    let mut needed: BTreeSet<&str> = BTreeSet::from([output]);
    let mut kept = vec![true; all.len()];
    // Nodes stand after those that they read.
    for (field, keep) in all.iter().zip(&mut kept).rev() {
        match field.number {
            1 => {
                let node = Node::read(field.bytes()?)?;
                *keep = node.outputs.iter().any(|o| needed.contains(o));
                if *keep {
                    needed.extend(&node.inputs);
                    node.attributes.iter().try_for_each(|a| captured(a, &mut needed, 0))?;
                }
            }
            12 => {
                let name = fields(field.bytes()?).find_map(|f| f.ok().filter(|f| f.number == 1));
                *keep = name.map(|f| f.text()).transpose()? == Some(output);
            }
            _ => {}
        }
    }
    for (field, keep) in all.iter().zip(&mut kept).filter(|(f, _)| f.number == 5) {
        let name = fields(field.bytes()?).find_map(|f| f.ok().filter(|f| f.number == 8));
        *keep = name.map(|f| f.text()).transpose()?.is_some_and(|name| needed.contains(name));
    }
    let mut out = Vec::with_capacity(message.len());
    all.iter().zip(kept).filter(|(_, keep)| *keep).for_each(|(f, _)| out.extend_from_slice(f.raw));
    Ok(out)
}

/// What graphs inside an attribute may read of the graph around them. Their depth was checked on inspection.
fn captured<'a>(attribute: &'a [u8], needed: &mut BTreeSet<&'a str>, depth: usize) -> Result<()> {
    for field in fields(attribute) {
        let field = field?;
        if !matches!(field.number, 6 | 11) || depth > 16 {
            continue;
        }
        for inner in fields(field.bytes()?) {
            let inner = inner?;
            match inner.number {
                1 => {
                    let node = Node::read(inner.bytes()?)?;
                    needed.extend(&node.inputs);
                    node.attributes.iter().try_for_each(|a| captured(a, needed, depth + 1))?;
                }
                12 => {
                    let name = fields(inner.bytes()?).find_map(|f| f.ok().filter(|f| f.number == 1));
                    needed.extend(name.map(|f| f.text()).transpose()?);
                }
                _ => {}
            }
        }
    }
    Ok(())
}
