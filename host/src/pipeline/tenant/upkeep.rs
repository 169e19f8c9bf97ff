//! What a tenant's tables want done beside the loop: housekeeping of their logs, and packing.

use super::TenantLayers;
use crate::lake::{Compaction, LakeError, Maintenance, Packed, Table};
use crate::pipeline::coordinate::Layer;

impl TenantLayers {
    pub(super) fn tables(&mut self) -> impl Iterator<Item = &mut Table> {
        let gold = self.gold.iter_mut();
        [
            &mut self.bronze.table,
            &mut self.quarantine.table,
            &mut self.silver.table,
        ]
        .into_iter()
        .chain(gold.map(|gathered| &mut gathered.gold.table))
    }

    /// Housekeeping of the tables' logs that is due, to be run beside the loop.
    pub fn housekeeping(&mut self) -> Vec<Maintenance> {
        self.tables().filter_map(Table::maintenance).collect()
    }

    /// Packing of small files that is due, to be run beside the loop.
    pub fn compaction(&mut self) -> Option<(Layer, Compaction)> {
        for _ in 0..self.packed.len() {
            self.packed.rotate_left(1);
            let (layer, packing) = *self.packed.last()?;
            if let Some(due) = self.packed_table(layer).compaction(packing) {
                return Some((layer, due));
            }
        }
        None
    }

    /// Has a layer's table hold a packed file, unless it has moved on.
    ///
    /// # Errors
    /// What the lake says.
    pub async fn pack(&mut self, layer: Layer, packed: Packed) -> Result<(), LakeError> {
        if layer == Layer::Silver {
            return self.silver.pack(packed).await;
        }
        packed.commit(self.packed_table(layer)).await.map(|_| ())
    }

    fn packed_table(&mut self, layer: Layer) -> &mut Table {
        match layer {
            Layer::Bronze => &mut self.bronze.table,
            Layer::Quarantine | Layer::Duplicates => &mut self.quarantine.table,
            Layer::Silver => &mut self.silver.table,
        }
    }
}
