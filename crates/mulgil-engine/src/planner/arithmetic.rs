//! Whole numbers that do not wrap round: `+`, `-`, `*` and the sign of integers become functions
//! whose overflow is an error. They are functions from the first to the last step of planning, so
//! that no rule of the engine folds a constant, or moves an operand, as if numbers went in a circle.
//! The engine's unsigned numbers, which SQL has not, are taken as bigint: `row_number() - 1` is one.

use std::sync::Arc;

use datafusion::{
    arrow::{
        compute::kernels::numeric::{add, mul, neg, sub},
        datatypes::{DataType, Field, FieldRef},
    },
    common::{DFSchema, Result, ScalarValue, config::ConfigOptions, exec_err, plan_err, tree_node::Transformed},
    logical_expr::{
        BinaryExpr, ColumnarValue, Expr, ExprSchemable as _, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
        ScalarUDFImpl, Signature, Volatility,
        expr::ScalarFunction,
        expr_rewriter::FunctionRewrite,
        interval_arithmetic::Interval,
        sort_properties::{ExprProperties, SortProperties},
    },
    physical_expr_common::datum::apply,
};

/// Rewrites the arithmetic of integers.
#[derive(Debug)]
pub(crate) struct CheckedArithmetic;

impl FunctionRewrite for CheckedArithmetic {
    fn name(&self) -> &'static str {
        "checked_arithmetic"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _config: &ConfigOptions) -> Result<Transformed<Expr>> {
        let is_integer = |expr: &Expr| expr.get_type(schema).is_ok_and(|data_type| data_type.is_integer());
        Ok(match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match Operation::of(op) {
                Some(operation) if is_integer(&left) && is_integer(&right) => {
                    Transformed::yes(operation.call(vec![*left, *right]))
                }
                Some(_) | None => Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })),
            },
            Expr::Negative(inner) if is_integer(&inner) => Transformed::yes(Operation::Negate.call(vec![*inner])),
            other => Transformed::no(other),
        })
    }
}

/// An operation that may overflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Operation {
    Add,
    Subtract,
    Multiply,
    Negate,
}

impl Operation {
    fn of(operator: Operator) -> Option<Self> {
        match operator {
            Operator::Plus => Some(Self::Add),
            Operator::Minus => Some(Self::Subtract),
            Operator::Multiply => Some(Self::Multiply),
            _ => None,
        }
    }

    fn call(self, args: Vec<Expr>) -> Expr {
        let function = ScalarUDF::from(Checked {
            operation: self,
            signature: Signature::user_defined(Volatility::Immutable),
        });
        Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(function), args))
    }

    fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract | Self::Negate => "-",
            Self::Multiply => "*",
        }
    }
}

/// An operation as a function.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    operation: Operation,
    signature: Signature,
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &'static str {
        match self.operation {
            Operation::Add => "add",
            Operation::Subtract => "subtract",
            Operation::Multiply => "multiply",
            Operation::Negate => "negate",
        }
    }

    /// As the operator would be called, so that columns keep their names.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let symbol = self.operation.symbol();
        match args {
            [one] => Ok(format!("(- {})", one.schema_name())),
            [left, right] => Ok(format!("{} {symbol} {}", left.schema_name(), right.schema_name())),
            _ => plan_err!("{} takes one or two numbers", self.name()),
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let widest = types.iter().map(signed).max_by_key(width).unwrap_or(DataType::Int64);
        Ok(vec![widest; types.len()])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        if let Some(data_type) = types.first() {
            Ok(data_type.clone())
        } else {
            plan_err!("{} takes one or two numbers", self.name())
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.return_type(&types)?, nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match (self.operation, args.args.as_slice()) {
            (Operation::Add, [left, right]) => apply(left, right, add),
            (Operation::Subtract, [left, right]) => apply(left, right, sub),
            (Operation::Multiply, [left, right]) => apply(left, right, mul),
            (Operation::Negate, [ColumnarValue::Array(array)]) => Ok(ColumnarValue::Array(neg(array)?)),
            (Operation::Negate, [ColumnarValue::Scalar(scalar)]) => {
                let negated = neg(&scalar.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&negated, 0)?))
            }
            (Operation::Add | Operation::Subtract | Operation::Multiply | Operation::Negate, args) => {
                exec_err!("{} was called with {} numbers", self.name(), args.len())
            }
        }
    }

    fn evaluate_bounds(&self, inputs: &[&Interval]) -> Result<Interval> {
        match (self.operation, inputs) {
            (Operation::Add, [left, right]) => left.add(*right),
            (Operation::Subtract, [left, right]) => left.sub(*right),
            (Operation::Multiply, [left, right]) => left.mul(*right),
            (Operation::Negate, [one]) => one.arithmetic_negate(),
            (Operation::Add | Operation::Subtract | Operation::Multiply | Operation::Negate, _) => {
                Interval::make_unbounded(&DataType::Int64)
            }
        }
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        Ok(match (self.operation, inputs) {
            (Operation::Add, [left, right]) => left.sort_properties.add(&right.sort_properties),
            (Operation::Subtract, [left, right]) => left.sort_properties.sub(&right.sort_properties),
            (Operation::Negate, [one]) => -one.sort_properties,
            (Operation::Add | Operation::Subtract | Operation::Multiply | Operation::Negate, _) => {
                SortProperties::Unordered
            }
        })
    }
}

/// The type that SQL has for a type of integers.
fn signed(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Int8 | DataType::Int16 | DataType::Int32 => data_type.clone(),
        _ => DataType::Int64,
    }
}

fn width(data_type: &DataType) -> Option<usize> {
    data_type.primitive_width()
}
