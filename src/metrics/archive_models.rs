//! What is shown of models of archives. Which ones there are changes while the program runs, so series come and go.

use haggle_learning::{GuestReport, Role};
use prometheus::GaugeVec;

use super::Metric;
use super::counters::Maker;

/// The series of all of them.
#[derive(Debug)]
pub(super) struct ArchiveModels {
    log_loss: GaugeVec,
    calibration: GaugeVec,
    weight: GaugeVec,
    examples: GaugeVec,
}

impl ArchiveModels {
    pub(super) fn new(maker: &Maker) -> Result<Self, prometheus::Error> {
        Ok(Self {
            log_loss: maker.float_gauges(Metric::ArchiveModelLogLoss)?,
            calibration: maker.float_gauges(Metric::ArchiveModelCalibration)?,
            weight: maker.float_gauges(Metric::ArchiveModelWeight)?,
            examples: maker.float_gauges(Metric::ArchiveModelExamples)?,
        })
    }

    /// Shows these and no others.
    pub(super) fn show(&self, reports: &[GuestReport]) {
        for gauges in [&self.log_loss, &self.calibration, &self.weight, &self.examples] {
            gauges.reset();
        }
        for report in reports {
            let role = match report.role {
                Role::Serving => "serving",
                Role::Canary(_) => "canary",
                Role::Shadow => "shadow",
            };
            let labels = [report.id.as_str(), role];
            let set = |gauges: &GaugeVec, value| gauges.with_label_values(&labels).set(value);
            set(&self.weight, f64::from(report.weight));
            set(&self.examples, report.examples as f64);
            if let Some(calibration) = report.fused.calibration() {
                set(&self.calibration, calibration);
            }
            for (by, recent) in [("home", &report.home), ("alone", &report.alone), ("both", &report.fused)] {
                if recent.examples > 0.0 {
                    let gauge = self.log_loss.with_label_values(&[by, labels[0], role]);
                    gauge.set(recent.log_loss / recent.examples);
                }
            }
        }
    }
}
